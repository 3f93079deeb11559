"""Follows what is known of the channels of a tensor through the functions of a network."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.compress.channels.calls import RecordedCall

_ELEMENTWISE = {
    *("relu", "relu_", "hardtanh", "relu6", "leaky_relu", "elu", "silu", "gelu", "hardswish"),
    *("hardsigmoid", "sigmoid", "tanh"),
}
_UNCHANGED = {"dropout", "contiguous", "clone", "max_pool2d", "adaptive_avg_pool2d", "interpolate"}
_RESHAPING = {"flatten", "view", "reshape", "squeeze"}


@dataclass(frozen=True, eq=False)
class ChannelValues:
    """What is known of the channels of a tensor (N, C, ...).

    classes: (C,) int64. constants: (C,) float64, NaN for a channel that varies.
    """

    classes: Tensor
    constants: Tensor


def varying(count: int) -> Tensor:
    """Constants of channels that all vary."""
    return torch.full((count,), math.nan, dtype=torch.float64)


def through_function(call: RecordedCall, values: ChannelValues) -> ChannelValues | None:
    """Follow a function of one tensor that keeps its channels apart; None for another function.

    values: the channels of its first argument.
    """
    source = call.args[0]
    name = call.function
    if name in _UNCHANGED:
        return values
    if name in _ELEMENTWISE:
        applied = call.run(values.constants.clone(), *call.args[1:], **call.options)
        return ChannelValues(values.classes, applied)
    if name == "avg_pool2d":
        padding = call.args[3] if len(call.args) > 3 else call.options.get("padding", 0)
        constants = values.constants.clone()
        if padding not in (0, (0, 0)):
            constants[constants != 0] = math.nan
        return ChannelValues(values.classes, constants)
    if name == "mean":
        return values if _is_over_positions(call) else None
    if name in _RESHAPING:
        return _reshaped(values, source, call.result)
    return None


def _is_over_positions(call: RecordedCall) -> bool:
    """Whether a mean is over height and width alone, so that the channels stay apart."""
    dimensions = call.args[1] if len(call.args) > 1 else call.options.get("dim")
    if not isinstance(dimensions, tuple | list):
        return False
    return sorted(dimension % 4 for dimension in dimensions) == [2, 3]


def _reshaped(values: ChannelValues, source: Tensor, result: Tensor) -> ChannelValues | None:
    """Follow a flattening: a feature for each position of each channel."""
    if result.shape[:2] == source.shape[:2]:
        return values
    if result.ndim != 2 or result.shape[0] != source.shape[0]:
        return None
    positions = source[0, 0].numel()
    return ChannelValues(
        values.classes.repeat_interleave(positions), values.constants.repeat_interleave(positions)
    )


def constant_outputs(
    module: nn.Conv2d | nn.Linear, constants: Tensor, used: Tensor, padded: bool
) -> Tensor:
    """The constant outputs of a layer, NaN for those that vary: (out,) float64.

    used: (out, in), or (out,) for a depthwise convolution.
    """
    weight = module.weight.detach().cpu()
    weight = weight.reshape(*weight.shape[:2], -1)  # (out, in, kernel positions)
    bias = torch.zeros(len(weight), dtype=torch.float64)
    if module.bias is not None:
        bias = module.bias.detach().cpu().double()
    varies = constants.isnan()
    if padded:
        varies = varies | (constants != 0)
    known = constants.masked_fill(varies, 0.0)
    if used.ndim == 1:
        outputs = bias + weight.double().sum((1, 2)) * known
        return outputs.masked_fill(used & varies, math.nan)
    there = known.nonzero().flatten()
    outputs = bias + weight[:, there].double().sum(2) @ known[there]
    return outputs.masked_fill((used & varies).any(1), math.nan)


def scale_and_shift(module: nn.Module) -> tuple[Tensor, Tensor]:
    """What a BatchNorm in evaluation mode multiplies by and adds, (C,) float64 each."""
    assert isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d)
    assert module.running_mean is not None
    assert module.running_var is not None
    scale = (module.running_var.detach().cpu().double() + module.eps).rsqrt()
    if module.weight is not None:
        scale = scale * module.weight.detach().cpu().double()
    shift = -module.running_mean.detach().cpu().double() * scale
    if module.bias is not None:
        shift = shift + module.bias.detach().cpu().double()
    return scale, shift
