"""The table of all layers, whose rows choose the one to look at."""

from dataclasses import replace

import pandas as pd
import streamlit as st

from core.inspect.weights import Layer
from core.runs.run import Run
from pages.parts import weights_data
from pages.parts.weights_choice import WHOLE, Asked

FIGURES = {
    "bits": ("bits", "%.2f", "Bits a weight in a packed file: entropy-coded, with its codebook or its scales; 32 as "
                             "plain floats, and a fraction of one for a zero."),
    "unique": ("different", "localized", "Different values of the weights, zero among them."),
    "zeros": ("zeros", "percent", "Exactly 0, of all weights."),
    "weights": ("weights", "localized", "How many there are."),
    "low": ("least", "%.4g", "The least weight."),
    "high": ("greatest", "%.4g", "The greatest weight."),
}


def draw(asked: Asked) -> None:
    """Draw the table. Raises UserError for a model whose file is damaged."""
    st.subheader("Layers", anchor=False)
    st.caption("Click a row to look at its layer.")
    rows = _rows(asked)
    listed = [name or WHOLE for name in rows.index]
    shown = listed.index(asked.layer or WHOLE)
    st.session_state["layers_listed"], st.session_state["layer_shown"] = listed, shown
    st.session_state["weights_layers"] = {"selection": {"rows": [shown], "columns": [], "cells": []}}
    st.dataframe(rows, hide_index=True, key="weights_layers", column_config=_columns(asked), placeholder="—",
                 on_select=_choose, selection_mode=["single-row", "single-cell"],
                 alt=f"Figures of each of the {len(rows) - 1} layers of {' and '.join(asked.names)}")


def _choose() -> None:
    """A click on a row or on a cell of one. The row that is marked already is no click, but the table's own report."""
    chosen = st.session_state["weights_layers"]["selection"]
    rows = [row for row, _ in chosen["cells"]] + chosen["rows"]
    if rows and rows[0] != st.session_state["layer_shown"]:
        st.session_state["weights_layer"] = st.session_state["layers_listed"][rows[0]]


def _rows(asked: Asked) -> pd.DataFrame:
    """One row a layer, the whole network first, by name."""
    tables = [_table(run) for run in asked.runs]
    ratios = weights_data.ratios(asked.first, asked.second) if asked.second else {}
    rows = {}
    for name in dict.fromkeys(name for table in tables for name in table):
        known = [table.get(name) for table in tables]
        shapes = dict.fromkeys(" × ".join(map(str, layer.shape)) for layer in known if layer)
        rows[name] = {"layer": name or "The whole network", "shape": " or ".join(shapes), "snr": ratios.get(name)}
        for letter, layer in zip("AB", known, strict=False):
            rows[name] |= _figures(letter, layer)
    columns = list(_columns(asked))
    return pd.DataFrame.from_dict(rows, orient="index").reindex(columns=columns).astype(
        {column: "Int64" for column in columns if column.startswith(("weights", "unique"))})


def _table(run: Run) -> dict[str, Layer]:
    """Every layer by name, with the bits of the packed file where there is one, and all of them for the whole."""
    packed, layers = weights_data.packed(run), {layer.name: layer for layer in weights_data.table(run)}
    for name, layer in layers.items():
        if layer.summary and name in packed:
            layers[name] = replace(layer, summary=replace(layer.summary, bits=packed[name].bits))
    whole, *each = layers.values()
    if whole.summary:
        bits = sum(layer.summary.bits * layer.summary.numbers for layer in each) / whole.summary.numbers
        layers[whole.name] = replace(whole, summary=replace(whole.summary, bits=bits))
    return layers


def _figures(letter: str, layer: Layer | None) -> dict:
    if layer is None or layer.summary is None:
        return {}
    item = layer.summary
    return {f"weights {letter}": item.numbers, f"unique {letter}": item.unique,
            f"zeros {letter}": item.zeros / item.numbers, f"low {letter}": item.low, f"high {letter}": item.high,
            f"bits {letter}": item.bits}


def _columns(asked: Asked) -> dict:
    """What is to be compared stands side by side: a figure of A, and the same one of B."""
    config, number, letters = st.column_config, st.column_config.NumberColumn, "AB"[:len(asked.runs)]
    columns = {"layer": config.TextColumn("Layer", pinned=True), "shape": config.TextColumn("Shape")}
    if asked.second:
        columns["snr"] = number("SNR of B (dB)", format="%.1f", help=(
            "Signal-to-noise ratio: A's weights against their change in B. Six decibels are about one bit. Infinite "
            "where nothing is lost."))
    for name, (label, form, text) in FIGURES.items():
        columns |= {f"{name} {letter}": number(f"{letter}: {label}", format=form, help=text) for letter in letters}
    return columns
