"""The colours of the pictures on the activations page, and the order of their channels."""

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.inspect.colour_scale import ColourScale
from core.inspect.mosaic import make_mosaic
from pages.parts.shared.address import keep_choice_in_address
from pages.parts.shared.theme import is_dark

if TYPE_CHECKING:
    from core.inspect.activations.comparison import ActivationComparison, ChannelOrder

_ORDERS: "dict[str, ChannelOrder]" = {
    "Channel": "channel",
    "Strength": "strength",
    "Difference": "difference",
}


def choose_channel_order(comparison: "ActivationComparison") -> "ChannelOrder":
    """Draw the choice of the order in which the channels are drawn."""
    options = list(_ORDERS)
    if not comparison.changes:
        options.remove("Difference")
    keep_choice_in_address("order", options, "Channel", what="order")
    name: str | None = st.segmented_control(
        "Sort channels by",
        options,
        default="Channel",
        key="order",
        required=True,
        persist_state="session",
        help=(
            "Channel: the network's own order. Strength: the channel with the highest mean in A is"
            " first. Difference: the channel with the largest mean difference from A is first."
        ),
    )
    return _ORDERS.get(name or "Channel", "channel")  # the address may name nothing


def draw_legend(comparison: "ActivationComparison", differences: bool) -> None:
    """Draw what the colours and the frames mean. `differences`: whether they are drawn."""
    with st.container(horizontal=True, vertical_alignment="center", key="legend"):
        st.image(colour_ramp("viridis"), width=90, alt="A scale from violet to yellow")
        st.caption(_scale_in_words(comparison), width="content")
        if differences:
            ramp = colour_ramp("RdBu_r", is_dark())
            st.image(ramp, width=90, alt="A scale from blue over the background's colour to red")
            st.caption("less than A, the same, more", width="content")
        st.image(_dead_tile(), width=16, alt="A dark square in a magenta frame")
        dead = "dead: 0 everywhere in this picture"
        if differences:
            dead += ", in a difference: newly dead"
        st.caption(dead, width="content")


def _scale_in_words(comparison: "ActivationComparison") -> str:
    highest = "the layer's maximum"
    if len(comparison.passes) > 1 and comparison.same_layers:
        highest += " in all networks"
    return f"0, or the lowest negative value, to {highest}"


@st.cache_data(show_spinner=False)
def colour_ramp(colormap: str, dark: bool = False) -> bytes:
    """Return a PNG of the colours from the lowest value to the highest."""
    ramp = np.tile(np.linspace(0, 1, 180), (1, 20, 1))
    scale = ColourScale(0.0, 1.0, colormap).in_theme(dark)
    return make_mosaic(ramp, scale, gap=0, tile=1).png()


@st.cache_data(show_spinner=False)
def _dead_tile() -> bytes:
    zero = np.zeros((1, 1, 1))
    framed = np.ones(1, bool)
    scale = ColourScale(0.0, 1.0, "viridis")
    return make_mosaic(zero, scale, marked=framed, gap=4, tile=24).png()
