"""Several networks' looks at one picture, layer beside layer: in one order, on one scale, with what differs."""

from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import Literal

import numpy as np

from core.inspect.channels import Comparison, compare
from core.inspect.look import Look
from core.inspect.mosaic import Mosaic, Scale, mosaic, strongest, tile_for

Order = Literal["channel", "strength", "difference"]
Row = tuple[str | None, ...]
"""A call's key in each network; None for one that has no more calls."""


@dataclass(frozen=True, eq=False)
class Beside:
    """One to three looks; the first is what the others are compared with."""

    looks: tuple[Look, ...]

    @cached_property
    def alike(self) -> bool:
        """Whether all networks have the same ReLUs, so that they can be subtracted."""
        first, *others = (list(look.shapes.items()) for look in self.looks)
        return all(other == first for other in others)

    @cached_property
    def rows(self) -> list[Row]:
        """The calls that belong side by side: the first of all networks, the second of all, and so on."""
        return list(zip_longest(*(look.shapes for look in self.looks)))

    @cached_property
    def changes(self) -> list[dict[str, Comparison]]:
        """What became of each call in every look but the first; empty for networks that differ."""
        first, *others = self.looks
        return [compare(first.captured, other.captured) for other in others] if self.alike else []

    def order(self, row: Row, by: Order) -> list[np.ndarray | None]:
        """The channels of each look in the order to show them; networks that are alike share it.

        strength: by the mean in the first look, the strongest first; difference: by the greatest mean |difference|.
        """
        if self.alike:
            return [self._order(0, row[0], by)] * len(self.looks)
        return [None if key is None else self._order(index, key, by) for index, key in enumerate(row)]

    def _order(self, index: int, key: str, by: Order) -> np.ndarray:
        strength = self.looks[index].statistics[key].mean.numpy()
        if by == "channel":
            return np.arange(len(strength))
        if by == "difference" and self.changes:
            return strongest(np.max([change[key].difference.numpy() for change in self.changes], 0))
        return strongest(strength)

    def channels(self, row: Row, by: Order, width: int = 400, aspect: float = 2.0) -> list[Mosaic | None]:
        """A picture of every look's channels, dead ones framed; on one scale if the networks are alike.

        Each is about `width` pixels wide and `aspect` times as wide as high, where its tiles allow.
        """
        maps = self.maps(row)
        shared = Scale.sequential(*maps) if self.alike else None
        return [shown if shown is None else _mosaic(
                    shown, shared or Scale.sequential(shown), order, look.statistics[key].dead.numpy(), width, aspect)
                for look, key, shown, order in zip(self.looks, row, maps, self.order(row, by), strict=True)]

    def differences(self, row: Row, by: Order, width: int = 400, aspect: float = 2.0) -> list[Mosaic]:
        """What every look but the first has more (red) or less (blue), newly dead channels framed, on one scale.

        Nothing for networks that differ.
        """
        if not self.changes:
            return []
        first, *others = self.maps(row)
        changed = [other - first for other in others]
        scale, order = Scale.diverging(*changed), self.order(row, by)[0]
        return [_mosaic(maps, scale, order, change[row[0]].newly_dead.numpy(), width, aspect)
                for maps, change in zip(changed, self.changes, strict=True)]

    def maps(self, row: Row) -> list[np.ndarray | None]:
        """Each look's output of its call in the row, as `Look.maps` gives it."""
        return [None if key is None else look.maps(key) for look, key in zip(self.looks, row, strict=True)]


def _mosaic(maps: np.ndarray, scale: Scale, order: np.ndarray, marked: np.ndarray, width: int, aspect: float
            ) -> Mosaic:
    return mosaic(maps, scale, order, marked, tile=tile_for(maps, width, aspect), aspect=aspect)
