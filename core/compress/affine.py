"""Quantization to a few bits: weight = scale * (value - zero point), with integer values.

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"
(arXiv:1712.05877), eq. 1. Scale and zero point come from PyTorch's observers; a range that is clipped for the least
squared error is searched for among 64, each 4% smaller than the one before.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.ao.quantization.observer import MinMaxObserver, PerChannelMinMaxObserver

from core.compress.distortion import checked
from core.compress.kmeans import Codebook, batchnorm_weights
from core.errors import UserError
from core.models.parameters import prunable

Range = Literal["minmax", "mse"]
_CLIPS = tuple(0.96**step for step in range(64))


@dataclass(frozen=True, eq=False)
class Affine:
    """A weight as small integers on an even grid that holds zero.

    values: the weight's shape; uint8 in [0, 2^bits - 1], or int8 in [1 - 2^(bits - 1), 2^(bits - 1) - 1] if symmetric.
    scale: float32, and zero_point: int32, of shape () for the whole tensor, or (C,) along `axis`.
    """

    values: Tensor
    scale: Tensor
    zero_point: Tensor
    bits: int
    axis: int | None = None

    def decode(self) -> Tensor:
        """The quantized weight, float32, as PyTorch dequantizes; a value at its zero point is exactly 0.0."""
        scale, zero_point = (_along(item, self.values, self.axis) for item in (self.scale, self.zero_point))
        return (self.values.float() - zero_point) * scale

    @property
    def symmetric(self) -> bool:
        """Whether zero is in the middle of the grid, at the value 0."""
        return self.values.dtype == torch.int8


def quantize(weight: Tensor, bits: int = 8, axis: int | None = None, symmetric: bool = False,
             range: Range = "minmax", name: str = "weight") -> Affine:
    """Round the weight to 2^bits evenly spaced values, or to 2^bits - 1 about zero if symmetric.

    bits: 2 to 8. axis: 0 for one scale per output channel, None for one in all.
    range: "minmax" spans all weights (and zero); "mse" clips the far ones where that lowers the squared error.
    Computed where the weight is. Zero is represented exactly, so that pruned weights stay pruned.
    Raises UserError, by `name`, for values that are not finite, and for arguments out of range.
    """
    _check(bits, axis, range)
    values = checked(weight, name)
    if axis is not None and values.ndim == 0:
        raise UserError(f"{name} is a single number, which has no channels to quantize one by one.")
    observer = _observer(values, bits, axis, symmetric)
    best = _quantize(values, observer, bits, axis)
    if not best.scale.isfinite().all():
        raise UserError(f"{name} spans more than float32 can hold, which cannot be quantized; train the network again.")
    if range == "mse":
        best = _least_error(values, observer, best)
    return best


def quantize_codebook(codebook: Codebook, bits: int = 8, symmetric: bool = False, range: Range = "minmax") -> Codebook:
    """8 bit on top of k-means: the same indices with centroids on the grid of `quantize`, per tensor.

    Centroids that fall on one grid point stay apart, so that the indices stay as they are.
    """
    if not codebook.centroids.numel():
        return codebook
    return replace(codebook, centroids=quantize(codebook.centroids, bits, None, symmetric, range).decode())


def quantize_model(model: nn.Module, bits: int = 8, axis: int | None = None, symmetric: bool = False,
                   range: Range = "minmax", layers: Mapping[str, int] | None = None, skip: Collection[str] = (),
                   batchnorm: bool = False) -> dict[str, Affine]:
    """Every prunable weight quantized, by parameter name; the model is not touched.

    layers: bits of single weights, by parameter name, instead of `bits`. skip: weights to leave out.
    batchnorm: the BatchNorm weights too, always per tensor, as each of their channels is one number.
    Raises UserError for a name that the model does not have, and as `quantize` does.
    """
    layers, scales = layers or {}, batchnorm_weights(model) if batchnorm else {}
    weights = prunable(model) | scales
    for name in (*layers, *skip):
        if name not in weights:
            raise UserError(f"{name} is not a weight that can be quantized; known are {', '.join(weights)}.")
    return {name: quantize(weight, layers.get(name, bits), None if name in scales else axis, symmetric, range, name)
            for name, weight in weights.items() if name not in skip}


def _check(bits: int, axis: int | None, range: str) -> None:
    if not 2 <= bits <= 8:
        raise UserError(f"bits must be in [2, 8], got {bits}")
    if axis not in (None, 0):
        raise UserError(f"axis must be 0 (per output channel) or None (per tensor), got {axis}")
    if range not in ("minmax", "mse"):
        raise UserError(f"range must be minmax or mse, got {range}")


def _observer(values: Tensor, bits: int, axis: int | None, symmetric: bool) -> MinMaxObserver:
    """PyTorch's observer after it has seen the values."""
    kind = "symmetric" if symmetric else "affine"
    # The lowest symmetric value is left out, so that both ends of the range are on the grid.
    low, high = (1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1) if symmetric else (0, 2**bits - 1)
    settings = {"dtype": torch.int8 if symmetric else torch.uint8, "quant_min": low, "quant_max": high,
                "eps": torch.finfo(torch.float32).tiny}  # the default would swallow weights below 1e-5
    if axis is None:
        observer = MinMaxObserver(qscheme=getattr(torch, f"per_tensor_{kind}"), **settings)
    else:
        observer = PerChannelMinMaxObserver(ch_axis=axis, qscheme=getattr(torch, f"per_channel_{kind}"), **settings)
    observer.to(values.device)(values if axis is None else values.reshape(len(values), -1))
    return observer


def _quantize(values: Tensor, observer: MinMaxObserver, bits: int, axis: int | None) -> Affine:
    scale, zero_point = observer.calculate_qparams()
    if axis is None:
        scale, zero_point = scale.reshape(()), zero_point.reshape(())
    scale, zero_point = scale.float(), zero_point.to(torch.int32)
    steps = torch.round(values * _along(1 / scale, values, axis)) + _along(zero_point, values, axis)
    codes = steps.clamp_(observer.quant_min, observer.quant_max).to(observer.dtype)
    return Affine(codes, scale, zero_point, bits, axis)


def _least_error(values: Tensor, observer: MinMaxObserver, widest: Affine) -> Affine:
    """The grid with the least squared error, per channel where there are channels, from the widest range inwards."""
    low, high = observer.min_val.clamp(max=0), observer.max_val.clamp(min=0)
    reach = torch.maximum(low.abs(), high.abs())
    best, least = widest, _error(values, widest)
    for clip in _CLIPS[1:]:
        observer.min_val.copy_(torch.maximum(low, -clip * reach))
        observer.max_val.copy_(torch.minimum(high, clip * reach))
        tried = _quantize(values, observer, widest.bits, widest.axis)
        error = _error(values, tried)
        better = error < least
        least = torch.where(better, error, least)
        best = replace(best, values=torch.where(_along(better, values, best.axis), tried.values, best.values),
                       scale=torch.where(better, tried.scale, best.scale),
                       zero_point=torch.where(better, tried.zero_point, best.zero_point))
    return best


def _error(values: Tensor, affine: Affine) -> Tensor:
    """Squared error, () or (C,)."""
    squares = (values - affine.decode()).square_()
    return squares.sum() if affine.axis is None else squares.reshape(len(squares), -1).sum(1)


def _along(item: Tensor, values: Tensor, axis: int | None) -> Tensor:
    """Per-channel figures in a shape that broadcasts against `values`."""
    return item if axis is None else item.view(-1, *[1] * (values.ndim - 1))
