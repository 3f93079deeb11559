"""Channels that hang together: they stay together or leave together.

The two inputs of an addition and its output are one class for each channel, and so are the input
and the output of BatchNorm, ReLU, pooling and depthwise convolution.
"""

import torch
from torch import Tensor


class ChannelClasses:
    """Sets of channels, which are joined while the network is followed (union-find)."""

    def __init__(self) -> None:
        self._parents: list[int] = []

    def __len__(self) -> int:
        return len(self._parents)

    def new(self, count: int) -> Tensor:
        """Make a class for each of `count` channels. Returns their numbers, (count,) int64."""
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        return torch.arange(first, first + count)

    def join(self, left: Tensor, right: Tensor) -> None:
        """Join the classes of two values (channels,) channel by channel."""
        for a, b in zip(left.tolist(), right.tolist(), strict=True):
            self._parents[self._root(a)] = self._root(b)

    def roots(self) -> Tensor:
        """The representative of every class number, (classes,) int64."""
        return torch.tensor([self._root(number) for number in range(len(self._parents))]).long()

    def _root(self, number: int) -> int:
        parents = self._parents
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number
