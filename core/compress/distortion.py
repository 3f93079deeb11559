"""How far an approximated weight is from the weight, and the check that every approximation begins with."""

import math

import torch
from torch import Tensor

from core.errors import UserError


def inertia(weight: Tensor, approximation: Tensor) -> float:
    """Sum of the squared differences, accumulated in float64."""
    return _energy(weight, approximation)


def snr(weight: Tensor, approximation: Tensor) -> float:
    """Signal-to-noise ratio in decibels, 10 log10(sum w^2 / sum (w - approximation)^2); infinite where nothing is lost.

    Six decibels are about one bit of precision.
    """
    noise = inertia(weight, approximation)
    signal = _energy(weight, torch.zeros_like(weight))
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


def checked(weight: Tensor, name: str) -> Tensor:
    """`weight` detached, contiguous and in float32.

    Raises UserError, by `name`, if there is no value, one that is not finite, or one beyond float32.
    """
    values = weight.detach().to(torch.float32).contiguous()
    if not values.numel():
        raise UserError(f"{name} has no values to quantize.")
    # A sum is not finite if a term is not; the other way it may overflow, so only then look at each value.
    if not values.sum().isfinite() and not values.isfinite().all():
        raise UserError(f"{name} holds NaN or infinite values, which cannot be quantized; train the network again.")
    return values


def _energy(first: Tensor, second: Tensor) -> float:
    """Sum of squared differences; on the CPU where the device has no float64 (Apple's MPS)."""
    if first.device.type == "mps":
        first, second = first.cpu(), second.cpu()
    return (first.double() - second.double()).square_().sum().item()
