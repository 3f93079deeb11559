"""Finds the Pareto frontier of runs: those that no other one beats in two figures."""

from collections.abc import Iterable, Sequence


def frontier(
    points: Sequence[tuple[float, float]], more_x: bool = False, more_y: bool = True
) -> list[int]:
    """Return the indices of the points on the Pareto frontier, ascending by x and then by y.

    A point is on it if no other one is at least as good in both directions and better in one, so
    equal points are on it together. more_x, more_y: whether more is better.
    """
    signs = (1 if more_x else -1, 1 if more_y else -1)
    merits = [(signs[0] * x, signs[1] * y) for x, y in points]
    best = [index for index, merit in enumerate(merits) if not _is_beaten(merit, merits)]
    return sorted(best, key=lambda index: points[index])


def _is_beaten(merit: tuple[float, float], others: Iterable[tuple[float, float]]) -> bool:
    """Whether another one is at least as good in both, and not equal."""
    return any(other[0] >= merit[0] and other[1] >= merit[1] and other != merit for other in others)
