"""Compares the activations of several networks on one image, call by call.

Networks with the same activation functions share one channel order and one colour scale, and can be
subtracted.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import Literal

import numpy as np

from core.inspect.activations.forward import ForwardPass
from core.inspect.activations.statistics import ChannelComparison, compare_channels
from core.inspect.colour_scale import ColourScale
from core.inspect.mosaic import Mosaic, make_mosaic
from core.inspect.mosaic_grid import fit_tile

ChannelOrder = Literal["channel", "strength", "difference"]
"""The order of the channels in a picture.

channel: as the network numbers them.
strength: by the mean of the first network, the greatest first.
difference: by the greatest mean |difference| from the first network, the greatest first.
"""

MatchedCalls = tuple[str | None, ...]
"""The key of a call in each network; None for a network that has no more calls."""


@dataclass(frozen=True, eq=False)
class ActivationComparison:
    """The forward passes of one to three networks on the same image.

    passes: the others are compared with the first.
    """

    passes: tuple[ForwardPass, ...]

    @cached_property
    def same_layers(self) -> bool:
        """Whether all networks have the same calls with the same shapes."""
        first, *others = (list(forward_pass.shapes.items()) for forward_pass in self.passes)
        return all(other == first for other in others)

    @cached_property
    def rows(self) -> list[MatchedCalls]:
        """The calls of all networks matched by position, in the order of the calls."""
        return list(zip_longest(*(forward_pass.shapes for forward_pass in self.passes)))

    @cached_property
    def changes(self) -> list[dict[str, ChannelComparison]]:
        """The comparison of every network but the first with the first, by the key of the call.

        Empty for networks with different layers.
        """
        if not self.same_layers:
            return []
        first, *others = self.passes
        return [compare_channels(first.captured, other.captured) for other in others]

    def changes_of(self, row: MatchedCalls) -> list[ChannelComparison]:
        """Return the comparisons of one call; empty for networks with different layers."""
        key = row[0]
        if key is None:
            return []
        return [change[key] for change in self.changes]

    def maps(self, row: MatchedCalls) -> list[np.ndarray | None]:
        """Return the output of each network's call, as `ForwardPass.maps` does."""
        return [
            None if key is None else forward_pass.maps(key)
            for forward_pass, key in zip(self.passes, row, strict=True)
        ]

    def differences(self, row: MatchedCalls) -> list[np.ndarray]:
        """Return the output of every network but the first, minus that of the first.

        Empty for networks with different layers.
        """
        if not self.changes:
            return []
        first, *others = (maps for maps in self.maps(row) if maps is not None)
        return [other - first for other in others]

    def channel_order(self, row: MatchedCalls, by: ChannelOrder) -> list[np.ndarray | None]:
        """Return the channels of each network in the order to draw them.

        Networks with the same layers share the order of the first.
        """
        if self.same_layers:
            shared = self._order(0, row, by)
            return [shared] * len(self.passes)
        return [self._order(index, row, by) for index in range(len(self.passes))]

    def _order(self, index: int, row: MatchedCalls, by: ChannelOrder) -> np.ndarray | None:
        """Return the order of the channels of one network's call, or None if it has none."""
        key = row[index]
        if key is None:
            return None
        strength = self.passes[index].statistics[key].mean.numpy()
        if by == "channel":
            return np.arange(len(strength))
        changes = self.changes_of(row)
        if by == "difference" and changes:
            differences = [change.difference.numpy() for change in changes]
            return strongest_first(np.max(differences, axis=0))
        return strongest_first(strength)

    def channel_mosaics(
        self, row: MatchedCalls, by: ChannelOrder, width: int = 400, aspect: float = 2.0
    ) -> list[Mosaic | None]:
        """Draw the channels of each network's call; dead channels are framed.

        Networks with the same layers share a scale. Each picture is about `width` pixels wide and
        `aspect` times as wide as high, where its tiles allow it.
        """
        all_maps = self.maps(row)
        present = [maps for maps in all_maps if maps is not None]
        shared = ColourScale.sequential(*present) if self.same_layers else None
        orders = self.channel_order(row, by)
        mosaics: list[Mosaic | None] = []
        for forward_pass, key, maps, order in zip(self.passes, row, all_maps, orders, strict=True):
            if key is None or maps is None or order is None:
                mosaics.append(None)
                continue
            scale = shared or ColourScale.sequential(maps)
            dead = forward_pass.statistics[key].dead.numpy()
            mosaics.append(_draw_channels(maps, scale, order, dead, width, aspect))
        return mosaics

    def difference_mosaics(
        self, row: MatchedCalls, by: ChannelOrder, width: int = 400, aspect: float = 2.0
    ) -> list[Mosaic]:
        """Draw the differences from the first network on one scale: red is more, blue is less.

        Newly dead channels are framed. Empty for networks with different layers.
        """
        differences = self.differences(row)
        order = self.channel_order(row, by)[0]
        if not differences or order is None:
            return []
        scale = ColourScale.diverging(*differences)
        return [
            _draw_channels(maps, scale, order, change.newly_dead.numpy(), width, aspect)
            for maps, change in zip(differences, self.changes_of(row), strict=True)
        ]


def _draw_channels(
    maps: np.ndarray,
    scale: ColourScale,
    order: np.ndarray,
    framed: np.ndarray,
    width: int,
    aspect: float,
) -> Mosaic:
    tile = fit_tile(maps, width, aspect)
    return make_mosaic(maps, scale, order, framed, tile=tile, aspect=aspect)


def strongest_first(values: np.ndarray) -> np.ndarray:
    """Return the indices of the values (C,) in descending order, NaN last.

    Equal values stay in their own order.
    """
    return np.argsort(-values, kind="stable")
