"""What the page of the weights computes, kept for the next time: by the model's file and when it was written."""

from pathlib import Path

import streamlit as st

from core.inspect import weights
from core.inspect.levels import Levels, own_levels, packed_levels
from core.runs.run import MODEL, PACKED, Run

MOST = 640  # marks of a distribution: with the error's and the levels', below 2,000 of two models
ERROR_BINS = 200

Stamp = tuple[str, int]  # a file, and when it was written in nanoseconds


def layers(run: Run) -> dict[str, tuple[int, ...]]:
    return _layers(_stamp(run))


def table(run: Run) -> list[weights.Layer]:
    return _table(_stamp(run))


def ratios(first: Run, second: Run) -> dict[str, float]:
    return _ratios(_stamp(first), _stamp(second))


def compare(first: Run, second: Run | None, layer: str, bins: int) -> weights.Comparison:
    return _compare(_stamp(first), _stamp(second) if second else None, layer, bins)


def packed(run: Run) -> dict[str, Levels]:
    """The levels of the layers that the run keeps quantized in a packed file; none if there is no such file."""
    return _packed(_stamp(run, PACKED)) if (run.path / PACKED).exists() else {}


def levels(run: Run, layer: str) -> Levels | None:
    """The levels of one layer: those of the packed file, or else its own few values."""
    return packed(run).get(layer) or (_own(_stamp(run), layer) if layer in layers(run) else None)


def _stamp(run: Run, file: str = MODEL) -> Stamp:
    path = run.path / file
    return str(path), path.stat().st_mtime_ns


@st.cache_data(max_entries=64, show_spinner="Reading the network …")
def _layers(file: Stamp) -> dict[str, tuple[int, ...]]:
    return weights.layers(Path(file[0]))


@st.cache_data(max_entries=32, show_spinner="Looking at every layer …")
def _table(file: Stamp) -> list[weights.Layer]:
    return weights.table(Path(file[0]))


@st.cache_data(max_entries=32, show_spinner="Comparing every layer …")
def _ratios(first: Stamp, second: Stamp) -> dict[str, float]:
    return weights.ratios(Path(first[0]), Path(second[0]))


@st.cache_data(max_entries=256, show_spinner="Counting the weights …")
def _compare(first: Stamp, second: Stamp | None, layer: str, bins: int) -> weights.Comparison:
    return weights.compare(Path(first[0]), Path(second[0]) if second else None, layer, MOST, bins, ERROR_BINS)


@st.cache_data(max_entries=16, show_spinner="Reading the packed file …")
def _packed(file: Stamp) -> dict[str, Levels]:
    return packed_levels(Path(file[0]))


@st.cache_data(max_entries=256, show_spinner=False)
def _own(file: Stamp, layer: str) -> Levels | None:
    return own_levels(Path(file[0]), layer)
