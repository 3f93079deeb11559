"""Mosaics of channels and kernels as matplotlib figures: with a title, a colour bar and channel numbers, to keep."""

import io
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from core.inspect.mosaic import Mosaic

_NUMBERED = 256  # tiles that get their number each; with more it would take seconds to draw, and nobody could read it
_WIDTH, _TALLEST = 7.0, 21.0  # inches of a mosaic
_LEFT, _RIGHT, _TOP, _BOTTOM, _BAR = 0.6, 1.2, 0.8, 0.2, 1.5  # inches around it, and of the shortest colour bar
_LINE = 205  # the grey between tiles, of 255
_settings = threading.Lock()  # matplotlib's are one for all threads


def figure(mosaics: "Sequence[Mosaic]", titles: Sequence[str], label: str, title: str = "") -> "Figure":
    """The mosaics next to each other, each under its title and beside the colour bar of its scale.

    `label` says what the colours measure, with the unit if there is one. Up to 256 tiles carry their channel's
    number; with more, the axis names the first channel of each row. A mosaic of a single map has no numbers.
    """
    from matplotlib.figure import Figure
    panel, tallest = _LEFT + _WIDTH + _RIGHT, max(_height(shown) for shown in mosaics)
    width, height = panel * len(mosaics), max(tallest, _BAR) + _TOP + _BOTTOM
    drawn = Figure(figsize=(width, height))  # measured by hand: matplotlib's own layout draws everything twice
    panels = drawn.subplots(1, len(mosaics), squeeze=False, gridspec_kw={
        "left": _LEFT / width, "right": 1 - _RIGHT / width, "wspace": (_LEFT + _RIGHT) / _WIDTH,
        "bottom": _BOTTOM / height, "top": 1 - _TOP / height})[0]
    for axes, shown, name in zip(panels, mosaics, titles, strict=True):
        _draw(axes, shown, label)
        axes.set_title(name, fontsize=10)
    drawn.suptitle(title, y=1 - 0.15 / height, va="top")
    return drawn


def _height(shown: "Mosaic") -> float:
    """Inches."""
    return min(_WIDTH * shown.pixels.shape[0] / shown.pixels.shape[1], _TALLEST)


def _draw(axes: "Axes", shown: "Mosaic", label: str) -> None:
    rows, columns = shown.pixels.shape[:2]
    axes.imshow(_lined(shown), interpolation="nearest", extent=(0, columns, rows, 0))
    axes.set(xticks=[], yticks=[], anchor="N")
    axes.spines[:].set_visible(False)
    if len(shown.grid.order) > 1:
        _number(axes, shown)
    if shown.pixels.ndim == 2:  # a kernel in colours is its own scale
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize
        share = max(1, _BAR / _height(shown))
        colours = ScalarMappable(Normalize(shown.scale.low, shown.scale.high), shown.scale.colormap)
        axes.figure.colorbar(colours, cax=axes.inset_axes((1.02, 1 - share, 0.03, share)), label=label)


def _lined(shown: "Mosaic") -> np.ndarray:
    """The picture with grey between the tiles: on white paper one sees where a white kernel ends."""
    return np.where(shown.space[..., None], np.uint8(_LINE), shown.rgb)


def _number(axes: "Axes", shown: "Mosaic") -> None:
    """Each channel's number in its tile's corner, or those of the rows' first channels at the side."""
    grid, pixels = shown.grid, shown.rgb
    if len(grid.order) > _NUMBERED:
        first = grid.order[::grid.columns]
        axes.set_yticks([np.mean(grid.box(channel)[1::2]) for channel in first], first, fontsize=5)
        axes.set_ylabel("first channel of the row")
        return
    size = min(max(0.25 * _WIDTH * 72 * grid.width / shown.pixels.shape[1], 2.5), 8)
    for channel in grid.order:
        left, top, *_ = grid.box(channel)
        bright = pixels[top:top + -(-grid.height // 4), left:left + -(-grid.width // 4)].mean() > 128
        axes.text(left, top, str(channel), fontsize=size, color="black" if bright else "white", va="top")


def encoded(drawn: "Figure", kind: Literal["png", "svg"] = "png", dpi: int = 150) -> bytes:
    """A figure as the bytes of a file; the same figure gives the same bytes on any day."""
    from matplotlib import rc_context
    file = io.BytesIO()
    if kind == "png":
        drawn.savefig(file, format=kind, dpi=dpi)
        return file.getvalue()
    with _settings, rc_context({"svg.hashsalt": "secateur"}):  # without a salt every file has random names inside
        drawn.savefig(file, format=kind, dpi=dpi, metadata={"Date": None})
    return file.getvalue()
