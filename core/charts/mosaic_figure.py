"""Mosaics of channels and kernels as matplotlib figures with a title and a colour bar, to save."""

import io
import math
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from core.inspect.mosaic import Mosaic

_MOST_NUMBERED_TILES = 256
"""With more tiles, their numbers would take seconds to draw, and nobody could read them."""

# Inches of a mosaic.
_WIDTH = 7.0
_MAX_HEIGHT = 21.0

# Inches around a mosaic, and the least height of a colour bar.
_LEFT = 0.6
_RIGHT = 1.2
_TOP = 0.8
_BOTTOM = 0.2
_BAR = 1.5

_GAP_GREY = 205
"""The grey between the tiles, of 255."""

_settings_lock = threading.Lock()
"""All threads share the settings of matplotlib."""


def draw_mosaic_figure(
    mosaics: "Sequence[Mosaic]", titles: Sequence[str], label: str, title: str = ""
) -> "Figure":
    """Draw the mosaics next to each other, each with its title and a colour bar of its scale.

    `label` says what the colours measure, with the unit if there is one. Up to 256 tiles are
    numbered by their channel. With more tiles, the axis names the first channel of each row. A
    mosaic of a single map has no numbers.
    """
    from matplotlib.figure import Figure

    width = (_LEFT + _WIDTH + _RIGHT) * len(mosaics)
    tallest = max(_height(mosaic) for mosaic in mosaics)
    height = max(tallest, _BAR) + _TOP + _BOTTOM
    # The layout is computed here, because matplotlib's layout engines draw everything twice.
    figure = Figure(figsize=(width, height))
    panels = figure.subplots(1, len(mosaics), squeeze=False, gridspec_kw=_layout(width, height))[0]
    for axes, mosaic, name in zip(panels, mosaics, titles, strict=True):
        _draw_mosaic(axes, mosaic, label)
        axes.set_title(name, fontsize=10)
    figure.suptitle(title, y=1 - 0.15 / height, va="top")
    return figure


def _layout(width: float, height: float) -> dict[str, float]:
    """Return the margins of a figure as fractions of its width and height, both in inches."""
    return {
        "left": _LEFT / width,
        "right": 1 - _RIGHT / width,
        "wspace": (_LEFT + _RIGHT) / _WIDTH,
        "bottom": _BOTTOM / height,
        "top": 1 - _TOP / height,
    }


def _height(mosaic: "Mosaic") -> float:
    """The height of a mosaic in inches."""
    rows, columns = mosaic.pixels.shape[:2]
    return min(_WIDTH * rows / columns, _MAX_HEIGHT)


def _draw_mosaic(axes: "Axes", mosaic: "Mosaic", label: str) -> None:
    rows, columns = mosaic.pixels.shape[:2]
    axes.imshow(_with_grey_gaps(mosaic), interpolation="nearest", extent=(0, columns, rows, 0))
    axes.set(xticks=[], yticks=[], anchor="N")
    axes.spines[:].set_visible(False)
    if len(mosaic.grid.order) > _MOST_NUMBERED_TILES:
        _number_rows(axes, mosaic)
    elif len(mosaic.grid.order) > 1:
        _number_tiles(axes, mosaic)
    # Kernels drawn as red, green and blue have no colour scale.
    if mosaic.pixels.ndim == 2:
        _draw_colorbar(axes, mosaic, label)


def _draw_colorbar(axes: "Axes", mosaic: "Mosaic", label: str) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scale = mosaic.scale
    share = max(1, _BAR / _height(mosaic))
    place = axes.inset_axes((1.02, 1 - share, 0.03, share))
    colours = ScalarMappable(Normalize(scale.low, scale.high), scale.colormap)
    axes.figure.colorbar(colours, cax=place, label=label)


def _with_grey_gaps(mosaic: "Mosaic") -> np.ndarray:
    """Return the picture with grey gaps, which show on white paper where a white kernel ends."""
    return np.where(mosaic.space[..., None], np.uint8(_GAP_GREY), mosaic.rgb)


def _number_rows(axes: "Axes", mosaic: "Mosaic") -> None:
    """Write the number of each row's first channel at the side."""
    grid = mosaic.grid
    first_channels = grid.order[:: grid.columns]
    middles = []
    for channel in first_channels:
        _, top, _, bottom = grid.box(channel)
        middles.append(np.mean([top, bottom]))
    axes.set_yticks(middles, first_channels, fontsize=5)
    axes.set_ylabel("first channel of the row")


def _number_tiles(axes: "Axes", mosaic: "Mosaic") -> None:
    """Write each channel's number into the corner of its tile, black or white as is readable."""
    grid = mosaic.grid
    points_per_pixel = _WIDTH * 72 / mosaic.pixels.shape[1]
    size = min(max(0.25 * grid.width * points_per_pixel, 2.5), 8)
    corner_height = math.ceil(grid.height / 4)
    corner_width = math.ceil(grid.width / 4)
    for channel in grid.order:
        left, top, _, _ = grid.box(channel)
        corner = mosaic.rgb[top : top + corner_height, left : left + corner_width]
        colour = "black" if corner.mean() > 128 else "white"
        axes.text(left, top, str(channel), fontsize=size, color=colour, va="top")


def encode_figure(figure: "Figure", kind: Literal["png", "svg"] = "png", dpi: int = 150) -> bytes:
    """Return a figure as the content of a file. The same figure always gives the same bytes."""
    from matplotlib import rc_context

    file = io.BytesIO()
    if kind == "png":
        figure.savefig(file, format=kind, dpi=dpi)
        return file.getvalue()
    # Without a salt, every SVG file contains random names.
    with _settings_lock, rc_context({"svg.hashsalt": "secateur"}):
        figure.savefig(file, format=kind, dpi=dpi, metadata={"Date": None})
    return file.getvalue()
