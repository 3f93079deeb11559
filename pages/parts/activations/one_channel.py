"""One channel of a layer: its map in every network, its kernels, and its numbers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.inspect.activations.tables import network_letters
from core.inspect.colour_scale import ColourScale
from core.inspect.mosaic import Mosaic, make_mosaic
from core.inspect.mosaic_grid import fit_tile
from pages.parts.activations.image_row import caption, difference_titles
from pages.parts.activations.sources.network import InspectedNetwork
from pages.parts.activations.table import draw_table
from pages.parts.shared.steady_image import draw_steady_image
from pages.parts.shared.theme import is_dark
from pages.parts.shared.words import part, span

if TYPE_CHECKING:
    import numpy as np

    from core.inspect.activations.comparison import ActivationComparison, MatchedCalls

_SIDE = 190  # pixels of a picture


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
    channel: int,
    figures: list[dict[str, Any]],
    differences: bool,
) -> None:
    """Draw one channel large, with its figures and its kernels.

    figures: the lines of the table, one for each network. differences: whether to draw also the
    differences from A.
    """
    with st.container(horizontal=True, vertical_alignment="center", key="one"):
        st.subheader("One channel", anchor=False, width="content")
        _draw_channel_choice(comparison, row)
    _draw_maps(comparison, row, channel, differences)
    draw_table(figures, key="numbers", alt=f"The figures of channel {channel}")
    _draw_kernels(_kernels_of_channel(networks, comparison, row, channel), channel)


def _draw_channel_choice(comparison: "ActivationComparison", row: "MatchedCalls") -> None:
    """Draw the number of the channel, for those who know it."""
    counts = [len(maps) for maps in comparison.maps(row) if maps is not None]
    st.number_input(
        "Channel",
        0,
        max(counts) - 1,
        step=1,
        key="channel",
        width=130,
        label_visibility="collapsed",
        help="The channel's number. You can also click a channel in the pictures above.",
    )


# -- the channel's maps --


def _draw_maps(
    comparison: "ActivationComparison", row: "MatchedCalls", channel: int, differences: bool
) -> None:
    """Draw the channel in every network that has it, and the differences if they are wanted."""
    columns = st.columns(len(row))
    titles = network_letters(len(row))
    all_maps = comparison.maps(row)
    mosaics = comparison.channel_mosaics(row, "channel")
    if differences:
        columns += columns[1:]
        titles += difference_titles(comparison)
        all_maps += comparison.differences(row)
        mosaics += comparison.difference_mosaics(row, "channel")
    for column, title, maps, mosaic in zip(columns, titles, all_maps, mosaics, strict=True):
        if maps is None or mosaic is None or channel >= len(maps):
            continue
        with column:
            _draw_map(title, channel, maps[channel], mosaic)


def _draw_map(title: str, channel: int, values: "np.ndarray", mosaic: Mosaic) -> None:
    """Draw one channel on the scale of all channels, or as a number if it has one value only."""
    if values.ndim == 0:
        st.metric(f"{title} channel {channel}".strip(), f"{float(values):.4g}", border=True)
        return
    mean = f"mean {values.mean():.3g}".replace("-", "−")
    with st.container(width=_SIDE):
        draw_steady_image(
            make_mosaic(values[None], mosaic.scale.in_theme(is_dark()), gap=0, tile=_SIDE).png(),
            alt=f"Channel {channel}, {title}",
            key=f"map {title}",
        )
        st.caption(caption(title, f"channel {channel}", span(values.min(), values.max()), mean))


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
            " before this activation."
        )
        return
    scale = ColourScale.diverging(*(kernel.values for kernel in kernels))
    with st.container(horizontal=True, key="kernels"):
        for kernel in kernels:
            mosaic = make_mosaic(kernel.values, scale, tile=fit_tile(kernel.values, _SIDE))
            with st.container(width=_SIDE):
                draw_steady_image(
                    mosaic.in_theme(is_dark()).png(),
                    alt=f"The kernel of channel {channel}, {kernel.title}",
                    key=f"kernel {kernel.title} {kernel.weight}",
                )
                st.caption(_kernel_caption(kernel, channel))


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
        f"{part(zeros)} zeros" if zeros else "",
    )
