"""Finds the channels that cannot matter, and counts what a network costs without them."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.compress.channels.calls import IMAGES, record_calls
from core.compress.channels.plan import ChannelPlan, LayerPlan
from core.compress.channels.readers import (
    LayerChannels,
    largest_constant,
    needed_channels,
    used_inputs,
)
from core.compress.channels.walk import follow_channels


def find_dead_channels(network: nn.Module, side: int) -> ChannelPlan:
    """Find the channels that can leave a network without changing its outputs in evaluation mode.

    side: height and width of an image, which is 3 x `side` x `side`. A channel is dead if no output
    of the network depends on it: because the weights that make it or those that read it are all 0,
    or those of everything in between. A channel that is the same for every image is dead as well;
    what it adds goes into the biases behind it. Channels that hang together, as those of a residual
    sum, leave together. Every layer keeps at least one channel.

    Kept are the channels of grouped convolutions (depthwise ones aside) and of functions that are
    not understood, such as attention, and one constant channel in front of a convolution that pads
    the image with zeros. The network is not changed. Raises what the network raises for images
    that it cannot take.
    """
    channels = follow_channels(network, side)
    needed = needed_channels(channels.layers, channels.fixed)
    plans = {layer.name: _layer_plan(layer, needed) for layer in channels.layers}
    smaller = {name: plan for name, plan in plans.items() if _is_smaller(plan)}
    return ChannelPlan(layers=smaller)


def _layer_plan(layer: LayerChannels, needed: Tensor) -> LayerPlan:
    outputs = needed[layer.outputs]
    if layer.kind == "norm":
        return LayerPlan(outputs=_indices(outputs), of_outputs=len(outputs))
    inputs = needed[layer.inputs]
    constants: dict[int, float] = {}
    into = None
    if layer.kind == "mixing":
        constants = _folded(layer, used_inputs(layer, needed) & ~inputs)
        if constants and layer.padded:
            into = largest_constant(layer, used_inputs(layer, needed))
            assert into is not None  # one of the constants is the largest
            constants[into] = float(layer.constants[into])
    return LayerPlan(
        inputs=_indices(inputs),
        outputs=_indices(outputs),
        of_inputs=len(inputs),
        of_outputs=len(outputs),
        constants=constants,
        into=into,
    )


def _folded(layer: LayerChannels, removed: Tensor) -> dict[int, float]:
    """The constants of removed inputs that are not 0, by index."""
    there = (removed & (layer.constants != 0)).nonzero().flatten().tolist()
    return {index: float(layer.constants[index]) for index in there}


def _indices(kept: Tensor) -> tuple[int, ...]:
    return tuple(kept.nonzero().flatten().tolist())


def _is_smaller(plan: LayerPlan) -> bool:
    return len(plan.outputs) < plan.of_outputs or len(plan.inputs) < plan.of_inputs


@dataclass(frozen=True)
class NetworkCost:
    """What a network costs.

    channels: output channels of each convolution and linear layer, by the module's name.
    macs: multiply-adds of these layers for one image, products with the padding included.
    weights: number of their weights, without biases and BatchNorm.
    """

    channels: dict[str, int]
    macs: int
    weights: int


def network_cost(network: nn.Module, side: int) -> NetworkCost:
    """Count channels, multiply-adds and weights for an image of 3 x `side` x `side`.

    A layer that never runs is not counted. Raises what the network raises for such images.
    """
    channels: dict[str, int] = {}
    macs = 0
    weights = 0
    with torch.no_grad():
        calls = record_calls(network, side).calls
    for call in calls:
        if call.function not in ("conv2d", "linear") or not call.layer:
            continue
        weight = call.args[1]
        macs += call.result.numel() // IMAGES * weight[0].numel()
        weights += 0 if call.layer in channels else weight.numel()
        channels[call.layer] = len(weight)
    return NetworkCost(channels, macs, weights)


@dataclass(frozen=True)
class ChannelReport:
    """What the removal of channels saves: the cost before it and after it."""

    before: NetworkCost
    after: NetworkCost

    @property
    def macs_left(self) -> float:
        """Fraction of the multiply-adds that is left, in (0, 1]."""
        return self.after.macs / self.before.macs

    def kept_channels(self) -> dict[str, tuple[int, int]]:
        """Channels of each layer after and before, by the module's name."""
        after = self.after.channels
        return {name: (after[name], count) for name, count in self.before.channels.items()}


def compare_costs(network: nn.Module, smaller: nn.Module, side: int) -> ChannelReport:
    """Count what a network and the smaller one made of it cost; see `network_cost`."""
    return ChannelReport(network_cost(network, side), network_cost(smaller, side))
