"""Measures how far an approximation is from a weight."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def decibels(signal: float, noise: float) -> float:
    """Signal-to-noise ratio of two sums of squares in decibels, 10 log10(signal / noise).

    Infinite where nothing is lost, minus infinite where there is no signal. Six decibels are about
    one bit of precision.
    """
    if noise == 0:
        return math.inf
    if signal == 0:
        return -math.inf
    return 10 * math.log10(signal / noise)


def snr(weight: "Tensor", approximation: "Tensor") -> float:
    """Signal-to-noise ratio of the approximation in decibels, as `decibels` defines it."""
    return decibels(energy(weight), squared_error(weight, approximation))


def energy(weight: "Tensor") -> float:
    """Sum of the squares, accumulated in float64."""
    return float(_as_float64(weight).square().sum())


def squared_error(weight: "Tensor", approximation: "Tensor") -> float:
    """Sum of the squared differences, accumulated in float64."""
    difference = _as_float64(weight) - _as_float64(approximation)
    return float(difference.square_().sum())


def _as_float64(tensor: "Tensor") -> "Tensor":
    """On the tensor's device, or on the CPU for Apple's MPS, which has no float64."""
    return tensor.cpu().double() if tensor.device.type == "mps" else tensor.double()
