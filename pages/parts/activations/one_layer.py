"""One layer in full: every network's channels, the differences on demand, and one channel."""

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from core.inspect.activations.tables import channel_figures, describe_kinds, describe_size
from pages.parts.activations.image_row import draw_difference_row, draw_network_row
from pages.parts.activations.legend import choose_channel_order, draw_legend
from pages.parts.activations.navigator import layer_name
from pages.parts.activations.one_channel import draw_one_channel
from pages.parts.activations.sources.network import InspectedNetwork
from pages.parts.activations.table import choose_batch_statistics
from pages.parts.shared.address import keep_in_address, parse_flag
from pages.parts.shared.words import plain

if TYPE_CHECKING:
    from core.inspect.activations.comparison import (
        ActivationComparison,
        ChannelOrder,
        MatchedCalls,
    )

# Number of pictures in a row -> width in pixels, and width divided by height.
_SIZES = {1: (780, 2.0), 2: (400, 1.25), 3: (270, 1.0)}


def draw_one_layer(
    networks: list[InspectedNetwork],
    comparison: "ActivationComparison",
    number: int,
    root: Path,
) -> None:
    """Draw the layer with this index in `comparison.rows`, and one of its channels."""
    row = comparison.rows[number]
    with st.container(horizontal=True, vertical_alignment="bottom", key="shown"):
        order = choose_channel_order(comparison)
        with st.container(width="content"):
            differences = bool(comparison.changes) and _choose_differences()
        batches_place = st.container(width="content")
    channel = _chosen_channel(comparison, row, order)
    size = _SIZES[len(networks)]
    draw_network_row(comparison, row, comparison.channel_mosaics(row, order, *size), channel)
    if differences:
        draw_difference_row(
            comparison, row, comparison.difference_mosaics(row, order, *size), channel
        )
    draw_legend(comparison, differences)
    with batches_place:
        batches = choose_batch_statistics(networks, root)
    figures = channel_figures(comparison, row, batches, channel)
    draw_one_channel(networks, comparison, row, channel, figures, differences)


def _choose_differences() -> bool:
    keep_in_address("differences", False, parse_flag)
    return st.toggle(
        "Differences",
        key="differences",
        persist_state="session",
        help="Draws also the differences from A: red is more, blue is less.",
    )


def draw_layer_heading(comparison: "ActivationComparison", number: int) -> None:
    """Draw the layer's name, its kind, and its number of channels."""
    row = comparison.rows[number]
    kinds = describe_kinds(comparison, row)
    channels = describe_size(comparison, row, " channels")
    st.markdown(f"**{plain(layer_name(row))}** · {kinds} · {channels}", width="content")


def _chosen_channel(
    comparison: "ActivationComparison", row: "MatchedCalls", order: "ChannelOrder"
) -> int:
    """Return the channel that was chosen, or the first one that is drawn."""
    orders = [channels for channels in comparison.channel_order(row, order) if channels is not None]
    chosen = st.session_state.get("channel", -1)
    if not 0 <= chosen < max(len(channels) for channels in orders):
        chosen = int(orders[0][0])
        st.session_state["channel"] = chosen
    return chosen
