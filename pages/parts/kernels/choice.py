"""The choice of a layer and of its view on the kernels page.

The address carries it as ?layer=, ?look=, ?channel= and ?mask=.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import streamlit as st

from core.runs.run import Run
from pages.parts.kernels.cached import KernelOptions, LayerRow
from pages.parts.shared.address import (
    address_selectbox,
    keep_choice_in_address,
    keep_in_address,
    number_parser,
    parse_flag,
)
from pages.parts.shared.theme import is_dark
from pages.parts.shared.words import plain

if TYPE_CHECKING:
    from core.inspect.kernels.pairs import LayerShape
    from core.inspect.kernels.views import KernelView

_ALL_LAYERS = "all"

# The activations page has widgets with the keys "layer" and "view". These are other ones.
_LAYER_KEY = "kernels_layer"
_VIEW_KEY = "kernels_view"

_VIEW_LABELS = {
    "mean": "Mean of inputs",
    "channel": "One input",
    "rgb": "Colours",
    "matrix": "Matrix",
}


def draw_pairing_note(runs: Sequence[Run], rows: Sequence[LayerRow]) -> None:
    """Say how the layers of two networks correspond, unless the networks are the same."""
    if all(_is_same_layer_shape(row) for row in rows):
        return
    first, second = [plain(run.model) for run in runs]
    common = sum(_has_one_name(row) for row in rows)
    if common:
        st.info(
            f"{first} and {second} are not the same network. Layers of the same name are side by"
            f" side: {common} of {len(rows)}.",
            icon=":material/difference:",
        )
    else:
        st.info(
            f"{first} and {second} have no layer in common. They are paired in order: the first"
            " layer with the first, and so on.",
            icon=":material/difference:",
        )


def row_name(row: LayerRow) -> str:
    """Return the name that the address has for a row of layers."""
    return _layers_in(row)[0].name


def open_kernel_layer(name: str) -> None:
    """Choose a row of layers. Called by a click, before the page is drawn."""
    st.session_state[_LAYER_KEY] = name


def choose_kernel_layer(rows: Sequence[LayerRow]) -> int | None:
    """Draw the choice of a layer and the steps to its neighbours.

    Returns the index of the row, or None if all layers are chosen.
    """
    rows_by_name = {row_name(row): row for row in rows}
    names = list(rows_by_name)

    def label(option: str) -> str:
        if option == _ALL_LAYERS:
            return f"All {len(rows_by_name)} layers"
        return _row_label(rows_by_name[option])

    options = [_ALL_LAYERS, *names]
    chosen = address_selectbox(
        "Layer",
        _LAYER_KEY,
        options,
        names[0],
        what="layer",
        address="layer",
        width=380,
        format_func=label,
        help="Every convolution and linear layer, in the network's order.",
    )
    position = options.index(chosen)
    _draw_step("Previous", "left", options, position - 1)
    _draw_step("Next", "right", options, position + 1)
    return None if chosen == _ALL_LAYERS else names.index(chosen)


def choose_kernel_options(row: LayerRow) -> KernelOptions:
    """Draw the choice of a view, of an input channel, and of weights or mask.

    row: The chosen layers, whose views are offered. Without any, the usual view is taken.
    """
    shapes = [layer.shape for layer in _layers_in(row)]
    views: list[KernelView] = []
    for shape in shapes:
        views += [view for view in _views(shape) if view not in views]
    view = _choose_view(views)
    channel = 0
    if view == "channel":
        most_inputs = max(shape[1] for shape in shapes)
        channel = _choose_channel(most_inputs - 1)
    keep_in_address("mask", False, parse_flag)
    mask = st.toggle(
        "Mask",
        key="mask",
        persist_state="session",
        help="Draws weights that are kept in black, and weights that are exactly zero in white.",
    )
    return KernelOptions(view, channel, mask, is_dark())


def _layers_in(row: LayerRow) -> "list[LayerShape]":
    return [layer for layer in row if layer]


def _is_same_layer_shape(row: LayerRow) -> bool:
    """Whether every model has the layer, in the same shape."""
    layers = _layers_in(row)
    return len(layers) == len(row) and len({layer.shape for layer in layers}) == 1


def _has_one_name(row: LayerRow) -> bool:
    """Whether every model has the layer, under the same name."""
    layers = _layers_in(row)
    return len(layers) == len(row) and len({layer.name for layer in layers}) == 1


def _row_label(row: LayerRow) -> str:
    """Return the names and the shapes of a row of layers; what is equal is written once."""
    layers = _layers_in(row)
    if len({layer.name for layer in layers}) > 1:
        return " | ".join(f"{layer.short} · {layer.size}" for layer in layers)
    sizes = dict.fromkeys(layer.size for layer in layers)
    return f"{layers[0].short} · {' | '.join(sizes)}"


def _draw_step(
    label: str, side: Literal["left", "right"], options: Sequence[str], target: int
) -> None:
    """Draw the button that chooses the option at `target`, disabled if there is none."""
    st.button(
        label,
        icon=f":material/chevron_{side}:",
        icon_position=side,
        key=label.lower(),
        on_click=open_kernel_layer,
        args=(options[target % len(options)],),
        disabled=not 0 <= target < len(options),
        help=f"Go to the {label.lower()} layer.",
    )


def _choose_view(views: "Sequence[KernelView]") -> "KernelView":
    """Draw the choice of a view if there is more than one."""
    if not views:
        return "mean"
    if len(views) == 1:
        return views[0]
    keep_choice_in_address(_VIEW_KEY, views, views[0], what="view", name="look")
    chosen = st.segmented_control(
        "View",
        views,
        key=_VIEW_KEY,
        required=True,
        persist_state="session",
        format_func=lambda view: _VIEW_LABELS[view],
        help=(
            "Kernels averaged over their input channels, the kernels of one input channel, or three"
            " input channels as red, green and blue."
        ),
    )
    assert chosen is not None  # the line above the widget gives it a value
    return chosen


def _choose_channel(last: int) -> int:
    keep_in_address("channel", 0, number_parser(int, 0, None))
    if st.session_state["channel"] > last:  # it was chosen in a layer with more inputs
        st.session_state["channel"] = last
    return st.number_input(
        "Input channel",
        0,
        last,
        0,
        key="channel",
        persist_state="session",
        width=140,
        help=f"The number of the input channel, from 0 to {last}.",
    )


def _views(shape: tuple[int, ...]) -> "list[KernelView]":
    from core.inspect.kernels.views import possible_views  # imports torch

    return possible_views(shape)
