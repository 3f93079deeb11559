"""What activations say channel by channel: strength, zeros, dead channels, and what another network changed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.inspect.activations import RELUS, Captured, check_layers, observe


@dataclass(frozen=True)
class ChannelStatistics:
    """Of one call, tensors with an entry a channel: the `mean`, the `maximum` and how many values are exactly zero.

    `count` values of each channel were looked at, over all images and positions. Adding two joins their images.
    """

    mean: Tensor
    maximum: Tensor
    zero_count: Tensor
    count: int

    @property
    def zeros(self) -> Tensor:
        """The share of zeros, in [0, 1]."""
        return self.zero_count / self.count

    @property
    def dead(self) -> Tensor:
        """Whether a channel is zero everywhere, in every image."""
        return self.zero_count == self.count

    def __add__(self, other: "ChannelStatistics") -> "ChannelStatistics":
        count = self.count + other.count
        return ChannelStatistics((self.mean * self.count + other.mean * other.count) / count,
                                 self.maximum.maximum(other.maximum), self.zero_count + other.zero_count, count)


def statistics(activation: Tensor, axis: int = 1) -> ChannelStatistics:
    """Over the images and positions of an output whose channels are on `axis`: (N, C, H, W) or (N, C), for instance."""
    others = [dimension for dimension in range(activation.ndim) if dimension != axis % activation.ndim]
    return ChannelStatistics(
        activation.mean(others, dtype=torch.float32), activation.amax(others).float(),
        (activation == 0).sum(others), activation.numel() // activation.shape[axis])


def measure(model: nn.Module, images: Tensor, layers: Iterable[str] | None = None,
            kinds: Mapping[str, type[nn.Module]] = RELUS) -> dict[str, ChannelStatistics]:
    """The statistics of every call over a batch, in call order; no output outlives its own call.

    For a data set, add what its batches give. Arguments and errors are those of `capture`.
    """
    wanted = None if layers is None else set(layers)
    measured: dict[str, ChannelStatistics] = {}
    seen: list[str] = []

    def see(key: str, output: Tensor, axis: int) -> None:
        seen.append(key)
        if wanted is None or key in wanted:
            measured[key] = statistics(output, axis)

    observe(model, images, see, kinds)
    check_layers(wanted, seen)
    return measured


@dataclass(frozen=True)
class Comparison:
    """One call in two networks on the same images, tensors with an entry a channel.

    `difference` is the mean of |second - first|, `cosine` the cosine similarity of all the channel's values, in
    [-1, 1]; `layer_cosine` is that of the whole output. Two outputs that are zero everywhere count as equal (1), one
    that is and one that is not as unrelated (0). `newly_dead` are the channels that only the second has lost.
    """

    difference: Tensor
    cosine: Tensor
    layer_cosine: float
    newly_dead: Tensor


def compare(first: Captured, second: Captured) -> dict[str, Comparison]:
    """What became of each call that both networks made under the same key and with the same shape, in call order."""
    return {key: _compared(output.movedim(first.axes[key], 0), second.activations[key].movedim(second.axes[key], 0))
            for key, output in first.activations.items()
            if key in second.activations and second.activations[key].shape == output.shape}


def _compared(first: Tensor, second: Tensor) -> Comparison:
    """Both with their channels first."""
    first, second = first.flatten(1).float(), second.flatten(1).to(first.device, torch.float32)
    layer_cosine = _cosine(first.reshape(1, -1), second.reshape(1, -1)).item()
    return Comparison((second - first).abs().mean(1), _cosine(first, second), layer_cosine,
                      first.any(1) & ~second.any(1))


def _cosine(first: Tensor, second: Tensor) -> Tensor:
    """Row by row; the rows are brought to length 1 first, so that tiny values do not vanish in their product."""
    cosine = (F.normalize(first, dim=1, eps=0) * F.normalize(second, dim=1, eps=0)).sum(1).clamp(-1, 1)
    empty_first, empty_second = ~first.any(1), ~second.any(1)
    return torch.where(empty_first | empty_second, (empty_first & empty_second).float(), cosine)
