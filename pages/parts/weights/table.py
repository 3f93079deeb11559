"""The table of all layers on the weights page. A click on a row chooses its layer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import streamlit as st

from core.inspect.weights.comparison import LayerSummary
from core.runs.run import Run
from pages.parts.weights.cached import (
    layer_summaries,
    layers_in_packed_file,
    levels_in_words,
    snr_by_layer,
)
from pages.parts.weights.choice import ALL_LAYERS, WeightsChoice


@dataclass(frozen=True)
class _Column:
    """A column that the table has once for each model.

    label: The name of the quantity.
    number_format: The format of Streamlit's number column; "" for a text.
    help_text: What the quantity means.
    """

    label: str
    number_format: str
    help_text: str


_COLUMNS = {
    "bits": _Column(
        "bits",
        "%.2f",
        "Bits a weight in a packed file, entropy-coded, with the codebook or the scales. Plain"
        " floats take 32 bits, a zero takes a fraction of one.",
    ),
    "levels": _Column(
        "levels",
        "",
        "The number of different values, and zero where some weights are exactly zero. A quantized"
        " layer is counted as in its packed file.",
    ),
    "zeros": _Column("zeros", "percent", "The share of the weights that are exactly 0."),
    "weights": _Column("weights", "localized", "The number of weights."),
    "low": _Column("least", "%.4g", "The lowest weight."),
    "high": _Column("greatest", "%.4g", "The highest weight."),
}
_INTEGERS = ("weights",)


def draw_weights_table(choice: WeightsChoice) -> None:
    """Draw the table, with the chosen layer's row selected. Raises UserError for a damaged file."""
    st.subheader("Layers", anchor=False)
    st.caption("Click a row to choose its layer.")
    rows = _table_rows(choice)
    layers = [name or ALL_LAYERS for name in rows.index]
    _select_row(layers, layers.index(choice.layer or ALL_LAYERS))
    st.dataframe(
        rows,
        hide_index=True,
        key="weights_layers",
        column_config=_column_config(choice),
        placeholder="—",
        on_select=_choose_clicked_layer,
        selection_mode=["single-row", "single-cell"],
        alt=f"Statistics of each of the {len(rows) - 1} layers of {' and '.join(choice.names)}",
    )


def _select_row(layers: list[str], row: int) -> None:
    """Select a row of the table that is drawn next, and store the layers for the next click."""
    state = st.session_state
    state["layers_listed"] = layers
    state["layer_shown"] = row
    state["weights_layers"] = {"selection": {"rows": [row], "columns": [], "cells": []}}


def _choose_clicked_layer() -> None:
    """Choose the layer of the row, or of the cell, that was clicked.

    The table also reports the row that was selected already. That is not a click.
    """
    state = st.session_state
    selection = state["weights_layers"]["selection"]
    rows = [row for row, _ in selection["cells"]] + selection["rows"]
    if rows and rows[0] != state["layer_shown"]:
        state["weights_layer"] = state["layers_listed"][rows[0]]


def _table_rows(choice: WeightsChoice) -> pd.DataFrame:
    """Return a row for the whole network and for each layer, under the layer's name."""
    models = [_layers_by_name(run) for run in choice.runs]
    runs = choice.runs
    snr = snr_by_layer(choice.first, choice.second) if choice.second else {}
    rows: dict[str, dict[str, Any]] = {}
    for model in models:
        for name in model:
            if name not in rows:
                rows[name] = _table_row(name, models, runs) | {"snr": snr.get(name)}
    columns = list(_column_config(choice))
    integers = [column for column in columns if column.startswith(_INTEGERS)]
    table = pd.DataFrame.from_dict(rows, orient="index").reindex(columns=columns)
    return table.astype(dict.fromkeys(integers, "Int64"))


def _table_row(
    name: str, models: list[dict[str, LayerSummary]], runs: Sequence[Run]
) -> dict[str, Any]:
    layers = [model.get(name) for model in models]
    shapes = [" × ".join(map(str, layer.shape)) for layer in layers if layer]
    row: dict[str, Any] = {
        "layer": name or "The whole network",
        "shape": " or ".join(dict.fromkeys(shapes)),
    }
    for letter, layer, run in zip("AB", layers, runs, strict=False):
        row |= _statistics(letter, layer, run)
    return row


def _statistics(letter: str, layer: LayerSummary | None, run: Run) -> dict[str, float | str]:
    """Return the columns of one model for a layer; none if the layer is missing or not finite."""
    if layer is None or layer.summary is None:
        return {}
    summary = layer.summary
    return {
        f"weights {letter}": summary.count,
        f"levels {letter}": levels_in_words(run, layer.name, summary),
        f"zeros {letter}": summary.zeros / summary.count,
        f"low {letter}": summary.low,
        f"high {letter}": summary.high,
        f"bits {letter}": summary.bits_per_weight,
    }


def _layers_by_name(run: Run) -> dict[str, LayerSummary]:
    """Return the whole network and its layers by name.

    The bits are those of the packed file if the run has one. The whole network's bits are the mean
    over all weights.
    """
    whole, *layers = layer_summaries(run)
    packed = layers_in_packed_file(run)
    layers = [
        _with_bits(layer, packed[layer.name].bits_per_weight) if layer.name in packed else layer
        for layer in layers
    ]
    if whole.summary:
        total = sum(
            layer.summary.bits_per_weight * layer.summary.count for layer in layers if layer.summary
        )
        whole = _with_bits(whole, total / whole.summary.count)
    return {layer.name: layer for layer in [whole, *layers]}


def _with_bits(layer: LayerSummary, bits: float) -> LayerSummary:
    if layer.summary is None:
        return layer
    return replace(layer, summary=replace(layer.summary, bits_per_weight=bits))


def _column_config(choice: WeightsChoice) -> dict[str, Any]:
    """Return the columns. The same quantity of A and of B are neighbours."""
    columns: dict[str, Any] = {
        "layer": st.column_config.TextColumn("Layer", pinned=True),
        "shape": st.column_config.TextColumn("Shape"),
    }
    if choice.second:
        columns["snr"] = st.column_config.NumberColumn(
            "SNR of B (dB)",
            format="%.1f",
            help=(
                "Signal-to-noise ratio: A's weights compared with their change in B. Six decibels"
                " are about one bit. It is infinite where nothing changes."
            ),
        )
    letters = "AB"[: len(choice.runs)]
    for name, column in _COLUMNS.items():
        for letter in letters:
            columns[f"{name} {letter}"] = _column(f"{letter}: {column.label}", column)
    return columns


def _column(label: str, column: _Column) -> Any:
    if not column.number_format:
        return st.column_config.TextColumn(label, help=column.help_text)
    return st.column_config.NumberColumn(label, format=column.number_format, help=column.help_text)
