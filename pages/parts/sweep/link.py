"""The button that turns the settings of another page into lists."""

from collections.abc import Mapping

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.config import AffineRecipe, KMeansRecipe, QuantizeRecipe


def draw_sweep_link(place: DeltaGenerator, address: Mapping[str, str]) -> None:
    """Draw the button, which opens the form of a sweep with these settings in its address."""
    clicked = place.button(
        "Try several values …",
        icon=":material/stacked_line_chart:",
        type="tertiary",
        key="to_sweep",
        help="Opens these settings as a sweep, in which each of them can have several values.",
    )
    if clicked:
        st.switch_page("pages/sweep.py", query_params=dict(address))


def address_of_quantization(recipe: QuantizeRecipe, parent: str) -> dict[str, str]:
    """Return the address of a sweep that begins with one quantization of the run `parent`."""
    return {
        "start": "quantize",
        "parent": parent,
        "compress_by": "quantize",
        "roundings": recipe.rounding,
        "clusters": str(recipe.clusters) if isinstance(recipe, KMeansRecipe) else "",
        "bits": str(recipe.bits) if isinstance(recipe, AffineRecipe) else "",
    }
