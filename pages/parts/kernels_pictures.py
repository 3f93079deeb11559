"""Pictures of weights, remembered: what was drawn once is there at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import streamlit as st

from core.errors import UserError
from core.models.saved import read_facts
from core.runs.run import MODEL, Run

if TYPE_CHECKING:
    from core.inspect.drawn import Drawn, Numbers
    from core.inspect.mosaic import Scale
    from core.inspect.stored import Layer, Row


_LINES = (128, 128, 128, 96)  # between the kernels: visible on the light page and on the dark


@dataclass(frozen=True)
class Look:
    """How weights are looked at: one of `core.inspect.kernels.View`, an input channel, and the mask or the weights."""

    view: str = "mean"
    channel: int = 0
    mask: bool = False


@dataclass(frozen=True)
class Picture:
    """A weight as it is shown: a PNG `width` pixels wide and `height` high, with its scale and its numbers.

    tiles: how many kernels it shows; averaged: rows and columns of a matrix in one of the picture's.
    """

    png: bytes
    width: int
    height: int
    view: str
    scale: "Scale"
    label: str
    tiles: int
    averaged: tuple[int, int]
    numbers: "Numbers"
    empty: int


Side = tuple[str, int, str]
"""A weight on disk: the file's path and its time, and the weight's name."""


def file(run: Run) -> tuple[str, int]:
    """A run's model as it is now, as a key to remember things by. Raises UserError if it is gone."""
    path = run.path / MODEL
    try:
        return str(path), path.stat().st_mtime_ns
    except OSError as error:
        raise UserError(f"The model of “{run.name}” is gone ({error.strerror}).") from error


def rows(runs: list[Run]) -> "list[Row]":
    """The layers of one or two runs, side by side."""
    return _rows(tuple(file(run) for run in runs))


@st.cache_data(max_entries=16, show_spinner=False)
def _rows(files: tuple[tuple[str, int], ...]) -> "list[Row]":
    from core.inspect.stored import beside

    first, *second = (_layers(*file) for file in files)
    return beside(first, second[0]) if second else [(layer, None) for layer in first]


@st.cache_data(max_entries=16, show_spinner=False)
def _layers(path: str, time: int) -> "list[Layer]":
    from core.inspect.stored import layers

    return layers(read_facts(Path(path)))


@st.cache_data(max_entries=64, show_spinner=False)
def pictures(sides: tuple[Side, ...], look: Look) -> list[Picture]:
    """The weights drawn to be compared. Raises UserError for one that cannot be read."""
    return [_picture(drawn) for drawn in _drawn(sides, look)]


@st.cache_data(max_entries=4, show_spinner="Drawing every layer ...")
def thumbnails(pairs: tuple[tuple[Side, ...], ...], mask: bool) -> list[list[Picture]]:
    """The usual view of each weight, small, for all layers at once."""
    return [[_picture(drawn) for drawn in _drawn(sides, Look(mask=mask), width=320, side=320)] for sides in pairs]


def download(sides: tuple[Side, ...], look: Look, names: list[str], kind: Literal["png", "svg"]) -> bytes:
    """The same as a file to keep: a figure with titles, the kernels' numbers and colour bars."""
    from core.charts.mosaics import encoded, figure

    drawn = _drawn(sides, look, width=700)
    titles = [f"{name}\n{side[2]}, {shown.numbers.size}" for name, side, shown in zip(names, sides, drawn, strict=True)]
    return encoded(figure([shown.picture for shown in drawn], titles, drawn[0].label), kind)


def _drawn(sides: tuple[Side, ...], look: Look, **size: int) -> "list[Drawn]":
    from core.inspect.drawn import draw
    from core.inspect.stored import load_weight

    weights = [load_weight(Path(path), name) for path, _, name in sides]
    return draw(weights, look.view, look.channel, look.mask, **size)


def _picture(drawn: "Drawn") -> Picture:
    height, width = drawn.picture.pixels.shape[:2]
    kernels = drawn.kernels
    return Picture(drawn.picture.png(_LINES), width, height, kernels.view, drawn.picture.scale, drawn.label,
                   len(kernels.maps), kernels.averaged, drawn.numbers, drawn.empty)
