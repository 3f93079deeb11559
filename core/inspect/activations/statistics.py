"""Measures each channel of activations (mean, maximum, zeros), and compares two networks by it."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.inspect.activations.captured import CapturedActivations
from core.inspect.activations.hooks import ActivationCall, check_layers, observe_activations
from core.inspect.activations.kinds import ACTIVATIONS, ActivationKinds


@dataclass(frozen=True)
class ChannelStatistics:
    """Statistics of one call, as tensors (C,) with an entry for each channel.

    mean, maximum: over all images and positions, in float32.
    zero_count: how many values are exactly zero.
    count: the number of values of each channel.

    The sum of two covers the images of both.
    """

    mean: Tensor
    maximum: Tensor
    zero_count: Tensor
    count: int

    @property
    def zero_fraction(self) -> Tensor:
        """The fraction of values that are zero, in [0, 1]."""
        return self.zero_count / self.count

    @property
    def dead(self) -> Tensor:
        """Whether a channel is zero everywhere in every image."""
        return self.zero_count == self.count

    def __add__(self, other: "ChannelStatistics") -> "ChannelStatistics":
        count = self.count + other.count
        return ChannelStatistics(
            mean=(self.mean * self.count + other.mean * other.count) / count,
            maximum=self.maximum.maximum(other.maximum),
            zero_count=self.zero_count + other.zero_count,
            count=count,
        )


def channel_statistics(activation: Tensor, axis: int = 1) -> ChannelStatistics:
    """Measure each channel of an output such as (N, C, H, W) or (N, C), with channels on `axis`."""
    channel_axis = axis % activation.ndim
    others = [dimension for dimension in range(activation.ndim) if dimension != channel_axis]
    return ChannelStatistics(
        mean=activation.mean(others, dtype=torch.float32),
        maximum=activation.amax(others).float(),
        zero_count=(activation == 0).sum(others),
        count=activation.numel() // activation.shape[axis],
    )


def measure_channels(
    model: nn.Module,
    images: Tensor,
    layers: Iterable[str] | None = None,
    kinds: ActivationKinds = ACTIVATIONS,
) -> dict[str, ChannelStatistics]:
    """Measure every call on a batch of images, by its key in the order of the calls.

    No output is kept longer than its own call. The statistics of several batches can be added.
    Arguments and errors are those of `capture`.
    """
    wanted = None if layers is None else set(layers)
    statistics: dict[str, ChannelStatistics] = {}
    keys: list[str] = []

    def measure(call: ActivationCall, output: Tensor) -> None:
        keys.append(call.key)
        if wanted is None or call.key in wanted:
            statistics[call.key] = channel_statistics(output, call.axis)

    observe_activations(model, images, measure, kinds)
    check_layers(wanted, keys)
    return statistics


@dataclass(frozen=True)
class ChannelComparison:
    """One call in two networks on the same images, as tensors (C,) with an entry for each channel.

    difference: the mean of |second - first|.
    cosine: the cosine similarity of all values of the channel, in [-1, 1].
    layer_cosine: the cosine similarity of the whole output.
    newly_dead: whether the channel is dead in the second network only.

    Two outputs that are zero everywhere have the cosine 1; if only one of them is, it is 0.
    """

    difference: Tensor
    cosine: Tensor
    layer_cosine: float
    newly_dead: Tensor


def compare_channels(
    first: CapturedActivations, second: CapturedActivations
) -> dict[str, ChannelComparison]:
    """Compare the calls that both networks captured with the same key and shape, in call order."""
    comparisons = {}
    for key, first_output in first.activations.items():
        second_output = second.activations.get(key)
        if second_output is not None and second_output.shape == first_output.shape:
            comparisons[key] = _compare_outputs(
                first_output.movedim(first.axes[key], 0),
                second_output.movedim(second.axes[key], 0),
            )
    return comparisons


def _compare_outputs(first: Tensor, second: Tensor) -> ChannelComparison:
    """Compare two outputs (C, ...) of the same shape."""
    first = first.flatten(1).float()
    second = second.flatten(1).to(first.device, torch.float32)
    layer_cosine = _cosine(first.reshape(1, -1), second.reshape(1, -1))
    return ChannelComparison(
        difference=(second - first).abs().mean(1),
        cosine=_cosine(first, second),
        layer_cosine=layer_cosine.item(),
        newly_dead=first.any(1) & ~second.any(1),
    )


def _cosine(first: Tensor, second: Tensor) -> Tensor:
    """Return the cosine similarity of each pair of rows.

    The rows are scaled to length 1 first, so that tiny values do not vanish in their product.
    """
    first_direction = F.normalize(first, dim=1, eps=0)
    second_direction = F.normalize(second, dim=1, eps=0)
    cosine = (first_direction * second_direction).sum(1).clamp(-1, 1)
    first_is_zero = ~first.any(1)
    second_is_zero = ~second.any(1)
    both_are_zero = (first_is_zero & second_is_zero).float()
    return torch.where(first_is_zero | second_is_zero, both_are_zero, cosine)
