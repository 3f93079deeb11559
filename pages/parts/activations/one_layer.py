"""One ReLU in full: every network's channels, the differences, and one channel."""

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from core.inspect.activations.tables import channel_table
from pages.parts.activations.cached import scaled_image
from pages.parts.activations.image_row import draw_image_row, image_titles
from pages.parts.activations.legend import draw_legend
from pages.parts.activations.one_channel import draw_one_channel
from pages.parts.activations.sources.network import InspectedNetwork
from pages.parts.activations.table import choose_batch_statistics

if TYPE_CHECKING:
    from core.inspect.activations.comparison import (
        ActivationComparison,
        ChannelOrder,
        MatchedCalls,
    )

# Number of pictures in a row -> width in pixels, and width divided by height.
_SIZES = {1: (900, 2.0), 2: (640, 1.25), 3: (460, 1.0), 5: (300, 1.0)}


def draw_one_layer(
    networks: list[InspectedNetwork],
    comparison: "ActivationComparison",
    order: "ChannelOrder",
    root: Path,
) -> None:
    """Draw the choice of a ReLU, the chosen one, and one of its channels."""
    if not comparison.rows:
        st.info("This network has no ReLU.", icon=":material/blur_off:")
        return
    row = _choose_row(comparison)
    draw_legend(comparison)
    _draw_channels(row, comparison, order)
    table = channel_table(comparison, row, choose_batch_statistics(networks, root))
    channels = comparison.channel_order(row, order)[0]
    first_channel = 0 if channels is None else int(channels[0])
    draw_one_channel(networks, comparison, row, table, first_channel)


def _choose_row(comparison: "ActivationComparison") -> "MatchedCalls":
    labels = [" | ".join(dict.fromkeys(key for key in row if key)) for row in comparison.rows]
    if st.session_state.get("layer", 0) >= len(labels):  # it was chosen in a larger network
        st.session_state["layer"] = 0
    number = st.selectbox(
        "Layer",
        range(len(labels)),
        key="layer",
        format_func=lambda index: labels[index],
        width=320,
        help="Every call of a ReLU, in the order of the calls.",
    )
    return comparison.rows[number]


def _draw_channels(
    row: "MatchedCalls", comparison: "ActivationComparison", order: "ChannelOrder"
) -> None:
    width, aspect = _SIZES[len(image_titles(comparison))]
    mosaics = [
        *comparison.channel_mosaics(row, order, width, aspect),
        *comparison.difference_mosaics(row, order, width, aspect),
    ]
    images = [scaled_image(mosaic) if mosaic else None for mosaic in mosaics]
    draw_image_row(comparison, row, images)
