"""One weight of one or two models, drawn to be compared: in one view, on one scale, with its numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from core.inspect.kernels import MASK_SCALE, Kernels, View, kept, kernel_images, scale_of, views
from core.inspect.mosaic import Mosaic, Scale, tile_for

_FEW = 256  # different values, up to which they are counted: more are a float network's
_SPACE = 0.02  # of a tile's side, on each side of it
_THINNEST = 2  # pixels of it, so that a frame stays whole where a browser makes the picture smaller
_PROBE = 10_000  # weights that tell such a network without sorting all of them


@dataclass(frozen=True)
class Numbers:
    """Of a weight: how many there are, exactly zero, and not finite; the extremes of the finite ones.

    different: how many values there are, None if more than 256.
    """

    shape: tuple[int, ...]
    weights: int
    zeros: int
    broken: int
    low: float
    high: float
    different: int | None

    @property
    def size(self) -> str:
        """The shape in print."""
        return " × ".join(map(str, self.shape))


@dataclass(frozen=True, eq=False)
class Drawn:
    """A weight's picture, what its colours measure, and its numbers. Output channels without a weight are framed."""

    kernels: Kernels
    picture: Mosaic
    label: str
    numbers: Numbers
    empty: int


def numbers(weight: Tensor) -> Numbers:
    """What is to be said of a weight that is not empty."""
    values = weight.detach().float().cpu().numpy().ravel()
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (float("nan"), float("nan"))
    return Numbers(tuple(weight.shape), values.size, values.size - int(np.count_nonzero(values)),
                   values.size - finite.size, low, high, _different(values))


def _different(values: np.ndarray) -> int | None:
    probe = values[::max(1, values.size // _PROBE)]
    if len(np.unique(probe)) > _FEW:
        return None
    count = len(np.unique(values))
    return count if count <= _FEW else None


def draw(weights: Sequence[Tensor], view: View | None = None, channel: int = 0, mask: bool = False, width: int = 1200,
         side: int = 1024) -> list[Drawn]:
    """The weights in one view; one that cannot be shown so gets its usual one.

    channel: the input channel of the view "channel"; of fewer ones the last is taken. mask: what was kept, instead of
    the weights. All that have one view share a scale. A picture is about `width` pixels wide, or high if it is
    higher; matrices of more than `side` rows or columns are averaged in blocks.
    """
    shown = [_kernels(kept(weight) if mask else weight, view, channel, side) for weight in weights]
    return [_drawn(weight, kernels, _scale(kernels, shown, mask), mask, width)
            for weight, kernels in zip(weights, shown, strict=True)]


def _kernels(weight: Tensor, view: View | None, channel: int, side: int) -> Kernels:
    possible = views(weight)
    return kernel_images(weight, view if view in possible else possible[0], min(channel, weight.shape[1] - 1), side)


def _scale(kernels: Kernels, shown: list[Kernels], mask: bool) -> Scale:
    return MASK_SCALE if mask else scale_of(*(other for other in shown if other.view == kernels.view))


def _drawn(weight: Tensor, kernels: Kernels, scale: Scale, mask: bool, width: int) -> Drawn:
    empty = (weight.detach() == 0).flatten(1).all(1).cpu().numpy()
    if kernels.view == "matrix":
        picture = kernels.picture(scale, tile=_whole(kernels.maps.shape[1:], width))
    else:
        picture = kernels.picture(scale, marked=empty, gap=(gap := _gap(kernels, width)),
                                  tile=tile_for(kernels.maps, width, gap=gap))
    return Drawn(kernels, picture, _label(kernels, mask), numbers(weight), int(empty.sum()))


def _whole(shape: tuple[int, ...], width: int) -> int:
    """The `tile` at which a single map's longer side is enlarged by a whole factor to at most `width`."""
    return max(shape) * max(1, width // max(shape))


def _gap(kernels: Kernels, width: int) -> int:
    """The space around each of many small kernels, in proportion to them."""
    return max(_THINNEST, round(_SPACE * width / math.sqrt(len(kernels.maps))))


def _label(kernels: Kernels, mask: bool) -> str:
    averages = kernels.view == "mean" or kernels.averaged != (1, 1)
    if mask:
        return "share of weights kept" if averages else "1: kept, 0: pruned"
    return "mean weight" if averages else "weight"
