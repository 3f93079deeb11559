"""All ReLUs, a row each: every network's channels side by side, and the differences."""

from typing import TYPE_CHECKING

import streamlit as st

from core.inspect.activations.tables import describe_size
from pages.parts.activations.cached import channel_images
from pages.parts.activations.image_row import draw_image_row, image_titles
from pages.parts.activations.legend import draw_legend
from pages.parts.activations.sources.network import InspectedNetwork
from pages.parts.shared.picture import Picture

if TYPE_CHECKING:
    from core.inspect.activations.comparison import (
        ActivationComparison,
        ChannelOrder,
        MatchedCalls,
    )

# Number of pictures in a row -> width in pixels, and width divided by height.
_SIZES = {1: (1200, 6.0), 2: (600, 3.0), 3: (440, 2.0), 5: (280, 1.25)}


def draw_all_layers(
    networks: list[InspectedNetwork],
    picture: Picture,
    comparison: "ActivationComparison",
    order: "ChannelOrder",
) -> None:
    """Draw a row for every ReLU."""
    draw_legend(comparison)
    width, aspect = _SIZES[len(image_titles(comparison))]
    images = channel_images(networks, picture, order, width, aspect)
    for number, row in enumerate(comparison.rows):
        _draw_heading(number, row, comparison)
        draw_image_row(comparison, row, images[number])


def _draw_heading(number: int, row: "MatchedCalls", comparison: "ActivationComparison") -> None:
    with st.container(
        horizontal=True, vertical_alignment="center", gap="small", key=f"head-{number}"
    ):
        keys = dict.fromkeys(f"`{key}`" for key in row if key)
        channels = describe_size(comparison, row, " channels")
        st.markdown(f"**{' | '.join(keys)}** · {channels}", width="content")
        st.button(
            "Closer",
            icon=":material/zoom_in:",
            type="tertiary",
            key=f"closer-{number}",
            on_click=_open_layer,
            args=(number,),
            help="Show this layer alone, with its channels and their kernels.",
        )


def _open_layer(number: int) -> None:
    st.session_state["view"] = "One layer"
    st.session_state["layer"] = number
