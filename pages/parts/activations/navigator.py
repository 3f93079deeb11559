"""The list of all layers of the networks, from which one is chosen."""

from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from core.inspect.activations.tables import describe_kinds
from pages.parts.shared.address import keep_in_address

if TYPE_CHECKING:
    from core.inspect.activations.comparison import ActivationComparison, MatchedCalls

_HEIGHT = 260  # pixels

# Keys of the session's state: the index of the chosen layer, and the list's own selection.
_LAYER = "activation_layer"
_LIST = "activation_layers"


def choose_layer(comparison: "ActivationComparison") -> int:
    """Draw the list, and return the chosen layer as its index in `comparison.rows`.

    Layers of networks that are compared are sorted by damage, the most damaged first; others are in
    the order of their calls. At first the layer at the top is chosen.
    """
    numbers = layers_by_damage(comparison)
    names = {layer_name(row): number for number, row in enumerate(comparison.rows)}
    keep_in_address(_LAYER, None, names.get, name="layer", to_text=list(names).__getitem__)
    chosen = st.session_state[_LAYER]
    if chosen not in numbers:  # none is chosen yet, or it was chosen in a larger network
        chosen = numbers[0]
    selected = {"rows": [numbers.index(chosen)], "columns": [], "cells": []}
    st.session_state[_LIST] = {"selection": selected}
    frame = pd.DataFrame([_line(comparison, number) for number in numbers])
    if frame["Kind"].nunique() == 1:
        frame = frame.drop(columns="Kind")  # The heading of the layer names it.

    def choose_clicked() -> None:
        rows = st.session_state[_LIST]["selection"]["rows"]
        if rows:
            st.session_state[_LAYER] = numbers[rows[0]]

    st.markdown(_title(comparison))
    st.dataframe(
        frame,
        hide_index=True,
        key=_LIST,
        alt="All layers of the networks",
        column_config=_COLUMNS,
        on_select=choose_clicked,
        selection_mode="single-row-required",
        height=min(_HEIGHT, 36 * (len(frame) + 1)),
    )
    return chosen


def choose_layer_of_a(comparison: "ActivationComparison", key: str | None) -> bool:
    """Choose the layer with this key in the first network, as a click would, if there is one."""
    keys = [row[0] for row in comparison.rows]
    if key is None or key not in keys:
        return False
    st.session_state[_LAYER] = keys.index(key)
    return True


def layers_by_damage(comparison: "ActivationComparison") -> list[int]:
    """Return the indices of `comparison.rows`, the most damaged layer first.

    Networks that are not compared have their layers in the order of the calls.
    """
    numbers = range(len(comparison.rows))
    return sorted(numbers, key=lambda number: -_damage(comparison, number))


def _damage(comparison: "ActivationComparison", number: int) -> float:
    """How far the layer is from that of A in the network that differs most: 1 - cosine."""
    changes = comparison.changes_of(comparison.rows[number])
    return max((1 - change.layer_cosine for change in changes), default=0.0)


def _title(comparison: "ActivationComparison") -> str:
    count = len(comparison.rows)
    layers = "1 activation" if count == 1 else f"{count} activations"
    if comparison.changes:
        return f"**{layers}**, the most damaged first"
    return f"**{layers}** in the order of their calls"


def _line(comparison: "ActivationComparison", number: int) -> dict[str, Any]:
    row = comparison.rows[number]
    line: dict[str, Any] = {"Layer": layer_name(row)}
    if comparison.changes:
        line["Damage"] = _damage(comparison, number)
    else:
        line["Dead"] = _dead_channels(comparison, row)
    line["Kind"] = describe_kinds(comparison, row)
    return line


def _dead_channels(comparison: "ActivationComparison", row: "MatchedCalls") -> str:
    numbers = []
    for key, forward_pass in zip(row, comparison.passes, strict=True):
        if key is not None:
            numbers.append(str(int(forward_pass.statistics[key].dead.sum())))
    return " | ".join(numbers)


def layer_name(row: "MatchedCalls") -> str:
    """Return the names of a layer in all networks, each of them once."""
    return " | ".join(dict.fromkeys(key for key in row if key is not None))


_COLUMNS = {
    "Layer": st.column_config.TextColumn(
        "Layer", help="The name of the module or function that is called.", width=125
    ),
    "Damage": st.column_config.ProgressColumn(
        "Damage",
        help="1 minus the cosine similarity to A, of the network that differs most from A.",
        format="%.3f",
        min_value=0.0,
        max_value=1.0,
        width=120,
    ),
    "Kind": st.column_config.TextColumn(
        "Kind", help="The activation function that is called.", width="small"
    ),
    "Dead": st.column_config.TextColumn(
        "Dead", help="Channels that are 0 everywhere in this picture, by network.", width="small"
    ),
}
