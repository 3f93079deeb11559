"""One channel of a ReLU: its map in every network, its kernels, and its numbers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.inspect.activations.tables import network_letters
from core.inspect.colour_scale import ColourScale
from core.inspect.mosaic import Mosaic, make_mosaic
from core.inspect.mosaic_grid import fit_tile
from pages.parts.activations.image_row import caption, image_titles
from pages.parts.activations.sources.network import InspectedNetwork
from pages.parts.activations.table import draw_table
from pages.parts.shared.words import span

if TYPE_CHECKING:
    import numpy as np

    from core.inspect.activations.comparison import ActivationComparison, MatchedCalls

_SIDE = 300  # pixels of a picture


@dataclass(frozen=True)
class _Kernel:
    """The kernel that computes a channel.

    title: The letter of the network.
    weight: The name of the weight that the kernel is part of.
    values: The kernel, of shape (inputs, height, width), or (inputs,) in a linear layer.
    """

    title: str
    weight: str
    values: "np.ndarray"


def draw_one_channel(
    networks: list[InspectedNetwork],
    comparison: "ActivationComparison",
    row: "MatchedCalls",
    table: list[dict[str, Any]],
    first_channel: int,
) -> None:
    """Draw the choice of a channel, the chosen one, and the table of all channels.

    table: The lines of the table, one for each channel.
    first_channel: The channel that is chosen at first.
    """
    st.subheader("One channel", anchor=False)
    channel = _choose_channel(len(table), first_channel)
    _draw_maps(comparison, row, channel)
    draw_table([table[channel]], key="numbers", alt=f"The statistics of channel {channel}")
    _draw_kernels(_kernels_of_channel(networks, comparison, row, channel), channel)
    st.markdown("All channels of this layer")
    draw_table(
        table,
        key="channels",
        alt="The statistics of every channel",
        on_select=_choose_clicked_channel,
        selection_mode="single-row",
        height=320,
    )


def _choose_channel(count: int, first_channel: int) -> int:
    if not 0 <= st.session_state.get("channel", -1) < count:
        st.session_state["channel"] = first_channel
    return st.number_input(
        "Channel",
        0,
        count - 1,
        step=1,
        key="channel",
        width=160,
        help="The channel's number. You can also click a line of the table below.",
    )


def _choose_clicked_channel() -> None:
    rows = st.session_state["channels"]["selection"]["rows"]
    if rows:
        st.session_state["channel"] = rows[0]


# -- the channel's maps --


def _draw_maps(comparison: "ActivationComparison", row: "MatchedCalls", channel: int) -> None:
    """Draw the channel in every network that has it, and the differences."""
    titles = image_titles(comparison)
    maps = [*comparison.maps(row), *comparison.differences(row)]
    mosaics = [
        *comparison.channel_mosaics(row, "channel"),
        *comparison.difference_mosaics(row, "channel"),
    ]
    with st.container(horizontal=True, key="enlarged"):
        for title, channels, mosaic in zip(titles, maps, mosaics, strict=True):
            if channels is None or mosaic is None or channel >= len(channels):
                continue
            _draw_map(title, channel, channels[channel], mosaic)


def _draw_map(title: str, channel: int, values: "np.ndarray", mosaic: Mosaic) -> None:
    """Draw one channel on the scale of all channels, or as a number if it has one value only."""
    if values.ndim == 0:
        st.metric(f"{title} channel {channel}".strip(), f"{float(values):.4g}", border=True)
        return
    mean = f"mean {values.mean():.3g}".replace("-", "−")
    st.image(
        make_mosaic(values[None], mosaic.scale, gap=0, tile=_SIDE).png(),
        width=_SIDE,
        alt=f"Channel {channel}, {title}",
        caption=caption(title, f"channel {channel}", span(values.min(), values.max()), mean),
    )


# -- the channel's kernels --


def _kernels_of_channel(
    networks: list[InspectedNetwork],
    comparison: "ActivationComparison",
    row: "MatchedCalls",
    channel: int,
) -> list[_Kernel]:
    """Return the kernels that compute the channel in each network."""
    kernels = []
    titles = network_letters(len(row))
    for title, network, forward_pass, key in zip(
        titles, networks, comparison.passes, row, strict=True
    ):
        if key is None:
            continue
        model = network.network()
        for name in forward_pass.source_weights.get(key, ()):
            weight = model.get_parameter(name)
            if channel < len(weight):
                kernels.append(_Kernel(title, name, weight[channel].detach().float().numpy()))
    return kernels


def _draw_kernels(kernels: list[_Kernel], channel: int) -> None:
    """Draw the kernels on one scale."""
    if not kernels:
        st.caption(
            "No single kernel computes this channel: the outputs of several layers are combined"
            " before this ReLU."
        )
        return
    scale = ColourScale.diverging(*(kernel.values for kernel in kernels))
    with st.container(horizontal=True, key="kernels"):
        for kernel in kernels:
            mosaic = make_mosaic(kernel.values, scale, tile=fit_tile(kernel.values, _SIDE))
            st.image(
                mosaic.png(),
                width=_SIDE,
                alt=f"The kernel of channel {channel}, {kernel.title}",
                caption=_kernel_caption(kernel, channel),
            )


def _kernel_caption(kernel: _Kernel, channel: int) -> str:
    values = kernel.values
    size = " × ".join(map(str, values.shape[1:]))
    inputs = f"{len(values)} inputs of {size}" if size else f"{len(values)} inputs"
    zeros = (values == 0).mean()
    return caption(
        kernel.title,
        f"`{kernel.weight}[{channel}]`",
        inputs,
        span(values.min(), values.max()),
        f"{zeros:.0%} zeros" if zeros else "",
    )
