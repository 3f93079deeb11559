"""Lists the weights of a network that can be quantized, and checks that they are finite."""

from collections.abc import Collection, Iterable

import torch
from torch import Tensor, nn

from core.errors import UserError
from core.models.parameters import batchnorm_weights, prunable_weights


def quantizable_weights(model: nn.Module, batchnorm: bool) -> dict[str, nn.Parameter]:
    """The weights that can be quantized, by parameter name.

    These are the prunable weights, in the network's order, and with `batchnorm` those of BatchNorm
    after them.
    """
    if not batchnorm:
        return prunable_weights(model)
    return prunable_weights(model) | batchnorm_weights(model)


def check_names(names: Iterable[str], quantizable: Collection[str]) -> None:
    """Raises UserError for a name that is not one of the quantizable weights."""
    for name in names:
        if name not in quantizable:
            raise UserError(
                f"{name} is not a weight that can be quantized; known are {', '.join(quantizable)}."
            )


def finite_values(weight: Tensor, name: str) -> Tensor:
    """The weight detached, contiguous and in float32.

    Raises UserError, by `name`, if it has no values, or a value that is NaN, infinite or beyond
    float32.
    """
    values = weight.detach().to(torch.float32).contiguous()
    if not values.numel():
        raise UserError(f"{name} has no values to quantize.")
    # One value that is not finite makes the sum not finite. The sum of finite values may overflow,
    # too: only then is each value checked.
    if not values.sum().isfinite() and not values.isfinite().all():
        raise UserError(
            f"{name} holds NaN or infinite values, which cannot be quantized; train the network"
            " again."
        )
    return values
