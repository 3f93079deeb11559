"""The weights of convolutions and linear layers as small maps, to be laid out by `core.inspect.mosaic`."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from core.errors import UserError
from core.inspect.mosaic import Mosaic, Scale, block_means, mosaic

View = Literal["mean", "channel", "rgb", "matrix"]

_MATRIX_TILE = 256  # pixels that a small matrix is enlarged to; many small kernels have the mosaic's own default


@dataclass(frozen=True)
class Kernels:
    """`maps`: (O, kH, kW) float32 with an output channel each, (O, kH, kW, 3) in colour, or (1, rows, columns).

    `averaged` is how many rows and columns of a matrix became one of the picture's; (1, 1) if it is shown in full.
    """

    view: View
    maps: np.ndarray
    averaged: tuple[int, int] = (1, 1)

    def picture(self, scale: Scale, **layout) -> Mosaic:
        """The mosaic on a scale, which `scale_of` makes for several at once; `layout` as in `mosaic`."""
        return mosaic(self.maps, scale, **({"tile": _MATRIX_TILE} if self.view == "matrix" else {}) | layout)


def views(weight: Tensor) -> list[View]:
    """What a weight can be shown as, the usual one first: kernels need an extent, colours three input channels."""
    return views_of(tuple(weight.shape))


def views_of(shape: tuple[int, ...]) -> list[View]:
    """The `views` of a weight of this shape."""
    if len(shape) < 4 or math.prod(shape[2:]) == 1:
        return ["matrix"]
    return ["mean", "channel", "rgb"] if shape[1] == 3 else ["mean", "channel"]


def kernel_images(weight: Tensor, view: View | None = None, channel: int = 0, side: int = 1024) -> Kernels:
    """The weight (O, I, kH, kW) of a convolution, or (O, I) of a linear layer, in one of its `views`.

    mean: kernels averaged over their input channels; channel: those of input channel `channel`; rgb: the three input
    channels as the colours of one kernel; matrix: a row for each output channel, a column for each input, averaged
    in blocks to at most `side` x `side`. In a grouped convolution I counts the input channels of a group.
    Raises UserError for a view that the weight does not have and for a channel outside [0, I).
    """
    possible = views(weight)
    view = view or possible[0]
    if view not in possible:
        raise UserError(f"view must be one of {', '.join(possible)} for a weight {tuple(weight.shape)}, got {view!r}")
    if view == "channel" and not 0 <= channel < weight.shape[1]:
        raise UserError(f"channel must be in [0, {weight.shape[1]}), got {channel}")
    weight = weight.detach().float()
    if view == "matrix":
        matrix, averaged = block_means(weight.flatten(1).cpu().numpy(), side)
        return Kernels(view, matrix[None], averaged)
    maps = {"mean": lambda: weight.mean(1), "channel": lambda: weight[:, channel],
            "rgb": lambda: weight.movedim(1, -1)}[view]()
    return Kernels(view, maps.cpu().numpy())


def kept(weight: Tensor, mask: Tensor | None = None) -> Tensor:
    """1.0 where a weight was kept and 0.0 where it was pruned, for `kernel_images`: averages of it are densities.

    Without a mask (bool, the weight's shape), what is exactly zero counts as pruned.
    """
    return ((weight.detach() != 0) if mask is None else mask.to(torch.bool)).float()


def scale_of(*kernels: Kernels) -> Scale:
    """The diverging scale, centred at 0, that all of these fit on: for the same layer of several models."""
    return Scale.diverging(*(shown.maps for shown in kernels))


MASK_SCALE = Scale(0.0, 1.0, "Greys")
"""White for pruned, black for kept."""
