"""Turns the weight of a convolution or a linear layer into small maps, to be drawn as a mosaic."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from core.errors import UserError
from core.inspect.colour_scale import ColourScale
from core.inspect.mosaic import Mosaic, make_mosaic

KernelView = Literal["mean", "channel", "rgb", "matrix"]
"""The ways to show a weight as maps; see `kernel_maps`."""

MASK_SCALE = ColourScale(0.0, 1.0, "Greys")
"""The scale of masks: white for pruned, black for kept."""

_MATRIX_TILE = 256
"""Pixels that a small matrix is enlarged to. Kernels have the default of `make_mosaic`."""


@dataclass(frozen=True)
class KernelMaps:
    """The maps of one weight in one view.

    maps: float32; (O, kH, kW) with one map for each output channel, (O, kH, kW, 3) with colours,
        or (1, rows, columns) for a matrix.
    averaged: how many rows and columns of the weight's matrix are averaged into one of the map's;
        (1, 1) if the matrix is shown in full.
    """

    view: KernelView
    maps: np.ndarray
    averaged: tuple[int, int] = (1, 1)

    def mosaic(self, scale: ColourScale, **layout: Any) -> Mosaic:
        """Draw the maps on a scale, such as that of `shared_scale`.

        `layout` is passed on to `make_mosaic`.
        """
        if self.view == "matrix":
            layout.setdefault("tile", _MATRIX_TILE)
        return make_mosaic(self.maps, scale, **layout)


def possible_views(shape: tuple[int, ...]) -> list[KernelView]:
    """Return the views of a weight of this shape, the usual one first.

    A weight without kernels larger than 1 is a matrix. Only three input channels have colours.
    """
    if len(shape) < 4 or math.prod(shape[2:]) == 1:
        return ["matrix"]
    if shape[1] == 3:
        return ["mean", "channel", "rgb"]
    return ["mean", "channel"]


def kernel_maps(
    weight: Tensor, view: KernelView | None = None, channel: int = 0, side: int = 1024
) -> KernelMaps:
    """Return the maps of a convolution's weight (O, I, kH, kW) or a linear layer's weight (O, I).

    The views are those of `possible_views`; the usual one is the default.
    mean: kernels averaged over their input channels.
    channel: the kernels of input channel `channel`.
    rgb: the three input channels of each kernel as its colours.
    matrix: a row for each output channel and a column for each input, averaged in blocks so that
        no side is longer than `side`.

    In a grouped convolution I counts the input channels of one group. Raises UserError for a view
    that the weight does not have, and for a channel outside [0, I).
    """
    view = _checked_view(weight, view, channel)
    weight = weight.detach().float()
    if view == "matrix":
        matrix, averaged = block_means(weight.flatten(1).cpu().numpy(), side)
        return KernelMaps(view, matrix[None], averaged)
    if view == "mean":
        maps = weight.mean(1)
    elif view == "channel":
        maps = weight[:, channel]
    else:
        maps = weight.movedim(1, -1)
    return KernelMaps(view, maps.cpu().numpy())


def _checked_view(weight: Tensor, view: KernelView | None, channel: int) -> KernelView:
    """Return the view, or the weight's usual one for None."""
    views = possible_views(tuple(weight.shape))
    if view is None:
        view = views[0]
    if view not in views:
        raise UserError(
            f"view must be one of {', '.join(views)} for a weight {tuple(weight.shape)},"
            f" got {view!r}"
        )
    if view == "channel" and not 0 <= channel < weight.shape[1]:
        raise UserError(f"channel must be in [0, {weight.shape[1]}), got {channel}")
    return view


def kept_mask(weight: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return 1.0 where a weight is kept and 0.0 where it is pruned.

    Without a mask (bool, of the weight's shape), weights that are exactly zero count as pruned. The
    result is meant for `kernel_maps`, whose averages of it are densities.
    """
    kept = weight.detach() != 0 if mask is None else mask.to(torch.bool)
    return kept.float()


def shared_scale(*kernels: KernelMaps) -> ColourScale:
    """Return the scale, centred at 0, that covers all of these maps."""
    return ColourScale.diverging(*(each.maps for each in kernels))


def block_means(matrix: np.ndarray, side: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Average a matrix in blocks, so that the result has at most `side` rows and columns.

    Returns the averages, and the numbers of rows and columns of a block. The last blocks may be
    smaller than the others.
    """
    rows, columns = matrix.shape
    block = (math.ceil(rows / side), math.ceil(columns / side))
    for axis, length in enumerate(block):
        if length > 1:
            matrix = _means_along(matrix, axis, length)
    return matrix, block


def _means_along(matrix: np.ndarray, axis: int, length: int) -> np.ndarray:
    """Average each `length` entries along one axis of a matrix."""
    starts = np.arange(0, matrix.shape[axis], length)
    sizes = np.diff(starts, append=matrix.shape[axis]).astype(np.float32)
    sums = np.add.reduceat(matrix, starts, axis)
    return sums / np.expand_dims(sizes, 1 - axis)
