"""Which layer of the models to look at, and how: the same as ?layer=, ?look=, ?channel= and ?mask= in the address."""

from typing import TYPE_CHECKING

import streamlit as st

from core.runs.run import Run
from pages.parts.kernels_pictures import Look
from pages.parts.model_choice import from_address, mirrored, to_address
from pages.parts.states import plain

if TYPE_CHECKING:
    from core.inspect.stored import Row

ALL = "all"
LAYER, VIEW = "kernels_layer", "kernels_view"  # not "layer" and "view", which are the activations' own
VIEWS = {"mean": "Mean of inputs", "channel": "One input", "rgb": "Colours", "matrix": "Matrix"}


def difference(runs: list[Run], rows: "list[Row]") -> None:
    """Say how layers are paired where the networks differ."""
    if all(all(row) and len({layer.shape for layer in row}) == 1 for row in rows):
        return
    alike = sum(all(row) and row[0].name == row[1].name for row in rows)
    first, second = (plain(run.model) for run in runs)
    if alike:
        st.info(f"{first} and {second} are not the same network: layers of one name are side by side, {alike} of "
                f"{len(rows)}.", icon=":material/difference:")
    else:
        st.info(f"{first} and {second} have no layer in common: the first is beside the first, and so on.",
                icon=":material/difference:")


def name(row: "Row") -> str:
    """What the address calls a row of layers."""
    return next(layer.name for layer in row if layer)


def open_layer(layer: str) -> None:
    """Look at a layer; to be called before the page is drawn, as a click does."""
    st.session_state[LAYER] = layer


def choose_layer(rows: "list[Row]") -> "Row | None":
    """Draw the choice of a layer, with steps to its neighbours; None stands for all."""
    known = {name(row): row for row in rows}
    options = [ALL, *known]
    chosen = mirrored("Layer", LAYER, options, options[1], what="layer", address="layer", width=380,
                      format_func=lambda layer: _words(layer, known),
                      help="Every convolution and linear layer, in the network's order.")
    place = options.index(chosen)
    for step, words, side in ((-1, "Previous", "left"), (1, "Next", "right")):
        target = place + step
        st.button(words, icon=f":material/chevron_{side}:", icon_position=side, key=words.lower(),
                  on_click=open_layer, args=(options[target % len(options)],), disabled=not 0 <= target < len(options),
                  help=f"The {words.lower()} layer.")
    return known.get(chosen)


def choose_look(row: "Row | None") -> Look:
    """Draw the choice of a view that a layer of the row has, of an input channel, and of weights or mask."""
    shapes = [layer.shape for layer in row or () if layer]
    views = list(dict.fromkeys(view for shape in shapes for view in _views(shape)))
    view = _choose_view(views) if len(views) > 1 else (views or ["mean"])[0]
    channel = _choose_channel(max(shape[1] for shape in shapes) - 1) if view == "channel" else 0
    mask = st.toggle("Mask", key="mask", bind="query-params",
                     help="Only which weights are there: black where they are, white where they are exactly zero.")
    return Look(view, channel, mask)


def _choose_view(views: list[str]) -> str:
    from_address(VIEW, "look", views, views[0], "view")
    chosen = st.segmented_control("View", views, key=VIEW, required=True, persist_state="session",
                                  format_func=VIEWS.get, help="Kernels averaged over their input channels, those of "
                                  "one input channel, or three input channels as red, green and blue.")
    to_address(VIEW, "look", chosen)
    return chosen


def _choose_channel(last: int) -> int:
    if st.session_state.get("channel", 0) > last:  # of a wider layer
        st.session_state["channel"] = last
    return st.number_input("Input channel", 0, last, 0, key="channel", bind="query-params", width=140,
                           help=f"From 0 to {last}.")


def _words(layer: str, known: "dict[str, Row]") -> str:
    if layer == ALL:
        return f"All {len(known)} layers"
    there = [item for item in known[layer] if item]
    if len({item.name for item in there}) > 1:
        return " | ".join(f"{item.short} · {item.size}" for item in there)
    return f"{there[0].short} · {' | '.join(dict.fromkeys(item.size for item in there))}"


def _views(shape: tuple[int, ...]) -> list[str]:
    from core.inspect.kernels import views_of  # brings torch

    return views_of(shape)
