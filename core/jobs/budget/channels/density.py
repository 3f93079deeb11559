"""Decides which densities are tried for a limit of time, and which of them is taken.

Only measured speeds decide. So a run that continues with the same ones comes to the same choice.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

_CLOSE = 1.05
"""Densities that differ by less than this factor are not divided any more."""


@dataclass(frozen=True)
class Speed:
    """How fast a network without some channels is beside the one before, one image at a time.

    parent_milliseconds, milliseconds: the median call before and after. speedup: how many times
    faster it is, in the median round of both. least, most: the ends of its 95% interval.
    """

    parent_milliseconds: float
    milliseconds: float
    speedup: float
    least: float
    most: float

    def keeps(self, faster: float) -> bool:
        """Whether it is at least so many times faster, even at the lower end of the interval."""
        return self.least >= faster


MeasuredSpeeds = Mapping[float, Speed]
"""The speeds that were measured, by the density."""


def next_density(tried: MeasuredSpeeds, faster: float, least: float, most: float) -> float | None:
    """Return the density to try next: between the largest that is fast enough and the next one.

    least: the smallest density, which is tried first. most: that of the network before, which is
    not fast enough. None if the two are close, or if not even the smallest is fast enough.
    """
    if least not in tried:
        return least
    low = largest_kept(tried, faster)
    if low is None:
        return None
    high = min((density for density in tried if density > low), default=most)
    return math.sqrt(low * high) if high > _CLOSE * low else None


def largest_kept(tried: MeasuredSpeeds, faster: float) -> float | None:
    """Return the largest density that is fast enough; None if none is."""
    return max((density for density, speed in tried.items() if speed.keeps(faster)), default=None)


def nearest_density(tried: MeasuredSpeeds) -> float:
    """Return the density whose interval begins highest, of at least one."""
    return max(tried, key=lambda density: tried[density].least)


def describe_speedup(speed: Speed, faster: float) -> str:
    """Say how fast the result is, and what the limit was."""
    return (
        f"One image takes {speed.milliseconds:.3g} ms instead of {speed.parent_milliseconds:.3g} ms"
        f" in float on this CPU: {speed.speedup:.2f}x as fast (95% interval {speed.least:.2f} to"
        f" {speed.most:.2f}). The limit is {faster:g}x."
    )
