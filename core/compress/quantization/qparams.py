"""Quantization parameters: the scale and the zero point that map a weight to small integers.

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference" (arXiv:1712.05877), eq. 1: weight = scale * (integer - zero point).
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class QParams:
    """Quantization parameters of a weight.

    scale: float32, positive. zero_point: int32, the integer that stands for 0. Both have shape ()
    for the whole tensor, or (C,) along `axis`.
    lowest, highest: the range of the integers.
    """

    scale: Tensor
    zero_point: Tensor
    axis: int | None
    lowest: int
    highest: int

    def quantize(self, values: Tensor) -> Tensor:
        """The integers that stand for float32 values, still in float32."""
        integers = values * along_axis(1 / self.scale, values, self.axis)
        integers.round_()
        integers += along_axis(self.zero_point, values, self.axis)
        return integers.clamp_(self.lowest, self.highest)


def integer_range(bits: int, symmetric: bool) -> tuple[int, int]:
    """The lowest and the highest integer of quantized weights.

    [0, 2^bits - 1], or [1 - 2^(bits - 1), 2^(bits - 1) - 1] if symmetric. A symmetric range leaves
    out the lowest integer, so that both ends of the weights' range are quantization levels.
    """
    if symmetric:
        return 1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1
    return 0, 2**bits - 1


def dequantize(integers: Tensor, scale: Tensor, zero_point: Tensor, axis: int | None) -> Tensor:
    """scale * (integer - zero point) in float32, in PyTorch's order of operations."""
    differences = integers.float() - along_axis(zero_point, integers, axis)
    return differences * along_axis(scale, integers, axis)


def along_axis(figures: Tensor, values: Tensor, axis: int | None) -> Tensor:
    """Reshape one number per channel so that it broadcasts against `values`."""
    if axis is None:
        return figures
    return figures.view(-1, *[1] * (values.ndim - 1))
