"""The way to train a weight on a grid of evenly spaced levels, as a torch parametrization.

Latent float weights and the scale of the grid are the parameters (Esser et al., "Learned Step Size
Quantization", arXiv:1902.08153). The forward pass uses the nearest level.
"""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from core.compress.affine import Affine
from core.compress.quantization.qparams import along_axis, integer_range


class LatentGrid(nn.Module):
    """Computes the weight from latent weights: the nearest level of a grid whose scale is trained.

    scale: float32, () or (C,) along axis 0. Zero points stay, and so do pruned weights. The
    gradient of the scale is divided by sqrt(weights of a scale * highest level), as in the paper's
    section 2.2.
    """

    scale: nn.Parameter
    zero_point: Tensor
    mask: Tensor | None

    def __init__(self, affine: Affine, mask: Tensor | None):
        """mask: bool in the weight's shape, False for pruned weights; None if there are none."""
        super().__init__()
        self._start = affine
        self._lowest, self._highest = integer_range(affine.bits, affine.symmetric)
        self.scale = nn.Parameter(affine.scale.clone())
        self.register_buffer("zero_point", affine.zero_point.clone())
        self.register_buffer("mask", mask)
        weights = affine.values.numel() / affine.scale.numel()
        self._gradient_share = 1 / math.sqrt(weights * self._highest)

    def forward(self, latent: Tensor) -> Tensor:
        scale = _ScaledGradient.apply(self.scale, self._gradient_share)
        scale = along_axis(scale, latent, self._start.axis)
        zero_point = along_axis(self.zero_point, latent, self._start.axis)
        lowest = self._lowest - zero_point
        highest = self._highest - zero_point
        weight: Tensor = _RoundToGrid.apply(latent / scale, lowest, highest) * scale
        return weight if self.mask is None else weight.masked_fill(~self.mask, 0.0)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The latent weights to begin with, as in `LatentWeights.right_inverse`."""
        start = self._start.decode().to(weight)
        if torch.equal(self.forward(weight).detach(), start):
            return weight.clone()
        half_step = along_axis(self.scale.detach() / 2, weight, self._start.axis)
        inside = torch.minimum(torch.maximum(weight, start - half_step), start + half_step)
        return torch.lerp(start, inside, 0.5)

    def refit_(self, latent: Tensor) -> None:
        """Keep the scale away from 0, where its gradient overflows. `latent` is not used."""
        self.scale.data.clamp_(min=self._start.scale.to(self.scale) / 100)

    def quantized(self, latent: Tensor) -> Affine:
        """The current levels."""
        scale = self.scale.detach()
        axis = self._start.axis
        integers = (latent / along_axis(scale, latent, axis)).round()
        integers = integers + along_axis(self.zero_point, latent, axis)
        integers = integers.clamp(self._lowest, self._highest)
        if self.mask is not None:
            integers = torch.where(
                self.mask, integers, along_axis(self.zero_point, latent, axis).float()
            )
        values = integers.to(self._start.values.dtype)
        return replace(self._start, values=values, scale=scale.clone())


class _RoundToGrid(torch.autograd.Function):
    """Rounds to integers in [lowest, highest].

    Backward passes the gradient on unchanged, except where a value is beyond the range: there it is
    0.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, lowest: Tensor, highest: Tensor) -> Tensor:
        integers = values.round()
        ctx.save_for_backward((integers >= lowest) & (integers <= highest))
        return integers.clamp(lowest, highest) + 0.0  # no negative zero

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (is_inside,) = ctx.saved_tensors
        return gradients[0] * is_inside, None, None


class _ScaledGradient(torch.autograd.Function):
    """The values as they are, with a gradient that is multiplied by `share`."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, share: float) -> Tensor:
        ctx.share = share
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.share, None
