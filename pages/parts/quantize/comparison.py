"""Compares nearest and compensated rounding on one layer of the model, on demand."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core import data
from core.compress.rounding.layer import RoundedLayer
from core.config import QuantizeRecipe
from core.errors import UserError
from core.events import Progress
from core.forecast.quantization import QuantizationPlan, setting_key
from core.forecast.rounding import COMPARISON_IMAGES, compare_roundings
from core.runs.run import Run
from pages.parts.quantize.model import load_parent
from pages.parts.shared.address import address_selectbox
from pages.parts.shared.cache import FileKey, has_shared_weights, model_key
from pages.parts.shared.get_images import has_images_here
from pages.parts.shared.metrics import draw_metric
from pages.parts.shared.progress import drain_once
from pages.parts.shared.shell import draw_error
from pages.parts.shared.words import plain

_MOST_RESULTS = 200


def draw_rounding_comparison(
    run: Run, recipe: QuantizeRecipe, plan: QuantizationPlan, root: Path
) -> None:
    """Draw the choice of a layer, and the output error of each rounding once it is computed."""
    names = _comparable_layers(run, recipe, plan)
    if not names:
        return
    st.subheader("Two roundings of one layer", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom", key="rounding_comparison"):
        name = address_selectbox(
            "Layer",
            "rounding_layer",
            names,
            what="layer",
            help="Only this layer is quantized, and all others stay in float.",
        )
        has_images = has_images_here(run.dataset, root)
        is_asked = st.button(
            "Compare roundings on this layer",
            icon=":material/balance:",
            key="compare_roundings",
            disabled=not has_images,
            width="content",
            help=(
                f"Rounds the layer in both ways on {COMPARISON_IMAGES} training images, and"
                " measures how far its outputs move. It needs no labels."
            ),
        )
    if not has_images:
        st.caption(
            f"This needs the images of {plain(run.dataset)}, which are not ready on this machine."
        )
        return
    memory = _roundings(model_key(run))
    key = setting_key(recipe, name)
    place = st.empty()
    if is_asked:
        _compare(memory, key, run, recipe, name, root, place)
    rounded = memory.get(key)
    if rounded is not None:
        _draw_errors(rounded)


def _comparable_layers(run: Run, recipe: QuantizeRecipe, plan: QuantizationPlan) -> list[str]:
    """Return the layers that compensated rounding can change."""
    if recipe.kind == "affine" and has_shared_weights(run):
        return []
    saved, _ = load_parent(run)
    return [
        layer.name for layer in plan.layers if layer.choice and saved.state[layer.name].ndim > 1
    ]


def _compare(
    memory: dict[str, RoundedLayer],
    key: str,
    run: Run,
    recipe: QuantizeRecipe,
    name: str,
    root: Path,
    place: DeltaGenerator,
) -> None:
    """Compute the comparison into the memory, unless it is there. Draws an error."""

    def start() -> Generator[Progress, None, RoundedLayer]:
        from core.training.device import choose_device

        saved, packed = load_parent(run)
        dataset = data.load(run.dataset, root)
        device = choose_device(recipe.device)
        return compare_roundings(saved, dataset, recipe, name, packed=packed, device=device)

    try:
        drain_once(memory, key, start, place, _MOST_RESULTS)
    except (UserError, RuntimeError, MemoryError) as error:  # torch raises the last two
        place.empty()
        draw_error(error)


def _draw_errors(rounded: RoundedLayer) -> None:
    with st.container(horizontal=True, key="rounding_errors"):
        draw_metric(
            "Output error, nearest", _percent(rounded.nearest_error), "each weight by itself"
        )
        draw_metric("Output error, compensated", _percent(rounded.error), _change_in_words(rounded))
    st.caption(
        "Output error: mean squared difference from the layer's outputs in float, as a share of"
        f" their mean square, on {COMPARISON_IMAGES} training images at most. Only this layer is"
        " quantized, and nothing is tuned."
    )


def _change_in_words(rounded: RoundedLayer) -> str:
    if not rounded.nearest_error:
        return "nothing to make up for"
    share = 1 - rounded.error / rounded.nearest_error
    return f"{abs(share):.0%} {'less' if share >= 0 else 'more'} than nearest"


def _percent(share: float) -> str:
    """An error in percent with three digits, because it can be tiny."""
    return f"{100 * share:.3g}%"


@st.cache_resource(show_spinner=False, max_entries=4)
def _roundings(model: FileKey) -> dict[str, Any]:
    return {}
