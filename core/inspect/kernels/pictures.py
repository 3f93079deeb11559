"""Draws one weight of one or two models for comparison: in one view, on one scale."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from core.inspect.colour_scale import ColourScale
from core.inspect.kernels.views import (
    MASK_SCALE,
    KernelMaps,
    KernelView,
    kept_mask,
    kernel_maps,
    possible_views,
    shared_scale,
)
from core.inspect.mosaic import Mosaic
from core.inspect.mosaic_grid import fit_tile

# Distinct values are counted up to this number. More of them are those of a float network.
_MOST_DISTINCT = 256
# So many weights of a float network show that it is one, without sorting all of them.
_SAMPLE = 10_000
# The gap on each side of a tile, as a share of the tile's side.
_GAP_SHARE = 0.02
# Pixels of that gap at least, so that a frame stays whole where a browser shrinks the picture.
_LEAST_GAP = 2


@dataclass(frozen=True)
class KernelStatistics:
    """Counts and extremes of one weight.

    weights: the number of weights.
    zeros: how many of them are exactly 0.
    non_finite: how many of them are NaN or infinite.
    low, high: the least and the greatest finite weight; NaN if there is none.
    distinct: the number of distinct values, or None if there are more than 256.
    """

    shape: tuple[int, ...]
    weights: int
    zeros: int
    non_finite: int
    low: float
    high: float
    distinct: int | None

    @property
    def size(self) -> str:
        """The shape in words, such as "10 × 84"."""
        return " × ".join(map(str, self.shape))


@dataclass(frozen=True, eq=False)
class KernelPicture:
    """A weight as a picture.

    kernels: the maps of the weight in its view.
    mosaic: the picture of these maps; output channels without a nonzero weight are framed.
    label: what the colours measure.
    statistics: counts and extremes of the weight.
    empty_channels: the number of output channels without a nonzero weight.
    """

    kernels: KernelMaps
    mosaic: Mosaic
    label: str
    statistics: KernelStatistics
    empty_channels: int


def kernel_statistics(weight: Tensor) -> KernelStatistics:
    """Count the values of a weight that is not empty."""
    values = weight.detach().float().cpu().numpy().ravel()
    finite = values[np.isfinite(values)]
    return KernelStatistics(
        shape=tuple(weight.shape),
        weights=values.size,
        zeros=values.size - int(np.count_nonzero(values)),
        non_finite=values.size - finite.size,
        low=float(finite.min()) if finite.size else math.nan,
        high=float(finite.max()) if finite.size else math.nan,
        distinct=_count_distinct(values),
    )


def _count_distinct(values: np.ndarray) -> int | None:
    """Return the number of distinct values, or None if there are more than 256."""
    step = max(1, values.size // _SAMPLE)
    if len(np.unique(values[::step])) > _MOST_DISTINCT:
        return None
    count = len(np.unique(values))
    return count if count <= _MOST_DISTINCT else None


def draw_kernels(
    weights: Sequence[Tensor],
    view: KernelView | None = None,
    channel: int = 0,
    mask: bool = False,
    width: int = 1200,
    side: int = 1024,
) -> list[KernelPicture]:
    """Draw the weights in one view; weights in the same view share a scale.

    view: a weight that does not have this view gets its usual one.
    channel: the input channel of the view "channel"; the last one of a weight that has fewer.
    mask: draw which weights are kept instead of their values.
    width: pixels of a picture's longer side, approximately.
    side: matrices with more rows or columns are averaged in blocks.
    """
    all_kernels = [_kernels(weight, view, channel, mask, side) for weight in weights]
    pictures = []
    for weight, kernels in zip(weights, all_kernels, strict=True):
        same_view = [other for other in all_kernels if other.view == kernels.view]
        scale = MASK_SCALE if mask else shared_scale(*same_view)
        pictures.append(_picture(weight, kernels, scale, mask, width))
    return pictures


def _kernels(
    weight: Tensor, view: KernelView | None, channel: int, mask: bool, side: int
) -> KernelMaps:
    values = kept_mask(weight) if mask else weight
    if view not in possible_views(tuple(weight.shape)):
        view = None
    last_channel = weight.shape[1] - 1
    return kernel_maps(values, view, min(channel, last_channel), side)


def _picture(
    weight: Tensor, kernels: KernelMaps, scale: ColourScale, mask: bool, width: int
) -> KernelPicture:
    empty = (weight.detach() == 0).flatten(1).all(1).cpu().numpy()
    if kernels.view == "matrix":
        mosaic = kernels.mosaic(scale, tile=_matrix_tile(kernels.maps.shape[1:], width))
    else:
        gap = _gap(len(kernels.maps), width)
        tile = fit_tile(kernels.maps, width, gap=gap)
        mosaic = kernels.mosaic(scale, marked=empty, gap=gap, tile=tile)
    return KernelPicture(
        kernels, mosaic, _label(kernels, mask), kernel_statistics(weight), int(empty.sum())
    )


def _matrix_tile(shape: tuple[int, ...], width: int) -> int:
    """Return the longer side of a matrix, enlarged by a whole factor to at most `width` pixels."""
    longer = max(shape)
    return longer * max(1, width // longer)


def _gap(count: int, width: int) -> int:
    """Return the gap around each of `count` tiles in a picture of this width, in pixels."""
    return max(_LEAST_GAP, round(_GAP_SHARE * width / math.sqrt(count)))


def _label(kernels: KernelMaps, mask: bool) -> str:
    """Say what the colours measure."""
    averages = kernels.view == "mean" or kernels.averaged != (1, 1)
    if mask:
        return "share of weights kept" if averages else "1: kept, 0: pruned"
    return "mean weight" if averages else "weight"
