"""Affine quantization to a few bits: weight = scale * (value - zero point), with integer values.

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference" (arXiv:1712.05877), eq. 1. `core.compress.quantization.ranges` chooses scale and zero
point.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from core.compress.kmeans import Codebook
from core.compress.quantization.qparams import dequantize
from core.compress.quantization.ranges import RangeMethod, choose_qparams
from core.compress.quantization.weights import check_names, finite_values, quantizable_weights
from core.errors import UserError


@dataclass(frozen=True, eq=False)
class Affine:
    """A weight as small integers, with the scale and the zero point that dequantize them.

    values: the integers, in the weight's shape; uint8 in [0, 2^bits - 1], or int8 in
    [1 - 2^(bits - 1), 2^(bits - 1) - 1] if symmetric.
    scale: float32 of shape () for the whole tensor, or (C,) along `axis`.
    zero_point: int32 of the same shape; the integer that stands for exactly 0.0.
    bits: 2 to 8. axis: 0 for one scale per output channel, None for one scale in all.
    """

    values: Tensor
    scale: Tensor
    zero_point: Tensor
    bits: int
    axis: int | None = None

    def decode(self) -> Tensor:
        """Dequantize as PyTorch does: float32, and exactly 0.0 at the zero point."""
        return dequantize(self.values, self.scale, self.zero_point, self.axis)

    @property
    def symmetric(self) -> bool:
        """Whether the quantization levels are symmetric about zero, with zero point 0."""
        return self.values.dtype == torch.int8


QuantizedWeight = Codebook | Affine


def quantize(
    weight: Tensor,
    bits: int = 8,
    axis: int | None = None,
    symmetric: bool = False,
    range_method: RangeMethod = "minmax",
    name: str = "weight",
) -> Affine:
    """Round the weight to 2^bits evenly spaced levels, or to 2^bits - 1 about zero if symmetric.

    bits: 2 to 8. axis: 0 for one scale per output channel, None for one scale in all.
    range_method: "minmax" spans all weights (and zero); "mse" clips the largest ones where that
    lowers the squared error.

    Computed on the weight's device. Zero is represented exactly, so that pruned weights stay
    pruned. Raises UserError, by `name`, for values that are not finite, and for arguments out of
    range. Jacob et al. (arXiv:1712.05877), eq. 1.
    """
    _check_arguments(bits, axis, range_method)
    values = finite_values(weight, name)
    if axis is not None and values.ndim == 0:
        raise UserError(f"{name} is a single number, which has no channels to quantize one by one.")
    qparams = choose_qparams(values, bits, axis, symmetric, range_method, name)
    integers = qparams.quantize(values).to(torch.int8 if symmetric else torch.uint8)
    return Affine(integers, qparams.scale, qparams.zero_point, bits, axis)


def quantize_codebook(
    codebook: Codebook,
    bits: int = 8,
    symmetric: bool = False,
    range_method: RangeMethod = "minmax",
) -> Codebook:
    """Round the centroids of a codebook as `quantize` does, per tensor: k-means, then 8 bit.

    The indices stay as they are. Centroids that are rounded to the same level stay separate.
    """
    if not codebook.centroids.numel():
        return codebook
    rounded = quantize(codebook.centroids, bits, None, symmetric, range_method)
    return replace(codebook, centroids=rounded.decode())


def quantize_model(
    model: nn.Module,
    bits: int = 8,
    axis: int | None = None,
    symmetric: bool = False,
    range_method: RangeMethod = "minmax",
    layers: Mapping[str, int] | None = None,
    skip: Collection[str] = (),
    batchnorm: bool = False,
) -> dict[str, Affine]:
    """Quantize every prunable weight, by parameter name; the model is not changed.

    layers: bits of single weights, by parameter name, instead of `bits`. skip: names of weights to
    leave out. batchnorm: quantize the BatchNorm weights, too, always per tensor, because each of
    their channels is a single number.

    Raises UserError for a name that the model does not have, and as `quantize` does.
    """
    layers = layers or {}
    weights = quantizable_weights(model, batchnorm)
    check_names([*layers, *skip], weights)
    quantized = {}
    for name, weight in weights.items():
        if name not in skip:
            layer_bits = layers.get(name, bits)
            layer_axis = axis if weight.ndim > 1 else None
            quantized[name] = quantize(
                weight, layer_bits, layer_axis, symmetric, range_method, name
            )
    return quantized


def _check_arguments(bits: int, axis: int | None, range_method: str) -> None:
    if not 2 <= bits <= 8:
        raise UserError(f"bits must be in [2, 8], got {bits}")
    if axis not in (None, 0):
        raise UserError(f"axis must be 0 (per output channel) or None (per tensor), got {axis}")
    if range_method not in ("minmax", "mse"):
        raise UserError(f"range must be minmax or mse, got {range_method}")
