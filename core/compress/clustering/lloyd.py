"""k-means in one dimension: Lloyd's algorithm up to its fixed point.

Lloyd, "Least squares quantization in PCM" (IEEE Transactions on Information Theory 28/2, 1982). In
one dimension the cells of the centroids are intervals. The values are sorted once. Each iteration
searches for k - 1 midpoints and takes k differences of prefix sums: O(k log n) instead of O(n k).

`cuts` are the positions (k + 1,) among the sorted values at which the cells begin and end: cell i
holds the values from cuts[i] up to, not including, cuts[i + 1].
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from core.compress.clustering.optimal import optimal_cuts, outward_sums

_MOST_ITERATIONS = 100_000
"""Iterations after which the search ends without a fixed point, which rounding may prevent.

Two million weights take 12,000 iterations to settle into 256 clusters.
"""

_ROUGH_SIZE = 1024
"""Bins and distinct values of a rough optimum, see `optimal_cuts`."""


@dataclass(frozen=True, eq=False)
class SortedWeights:
    """The weights of a layer in ascending order.

    values: (n,) float32. points: the same numbers in float64.
    importance: (n,) float64, above 0, the factor of each squared error; None if all are 1.
    masses: (n + 1,) float64, prefix sums of the importance.
    sums: (n + 1,) float64, prefix sums of importance * point, counted from zero outwards.
    """

    values: Tensor
    points: Tensor
    importance: Tensor | None
    masses: Tensor
    sums: Tensor

    @classmethod
    def of(cls, weights: Tensor, importance: Tensor | None = None) -> "SortedWeights":
        """Sort float32 weights of any shape; on the CPU, unless they are on a CUDA device.

        importance: of each weight, above 0, in their shape.
        """
        if importance is not None:
            if not weights.is_cuda:
                weights = weights.cpu()
                importance = importance.cpu()
            values, order = weights.flatten().sort()
            return cls._sorted(values, importance.flatten()[order].double())
        if weights.is_cuda:
            values = weights.flatten().sort().values
        else:
            # On a CPU NumPy sorts float32 about 15 times as fast as torch. Weights on MPS move to
            # the CPU, because MPS has no float64.
            values = torch.from_numpy(np.sort(weights.cpu().numpy(), axis=None))
        return cls._sorted(values, None)

    @classmethod
    def _sorted(cls, values: Tensor, importance: Tensor | None) -> "SortedWeights":
        points = values.double()
        negatives = int((values < 0).sum())
        if importance is None:
            masses = torch.arange(len(points) + 1, dtype=torch.float64, device=points.device)
            return cls(values, points, None, masses, outward_sums(points, negatives))
        masses = outward_sums(importance, negatives)
        return cls(values, points, importance, masses, outward_sums(importance * points, negatives))

    def distinct_values(self, most: int) -> Tensor | None:
        """The distinct values, or None if there are more than `most`."""
        rises = self.values[1:] != self.values[:-1]
        if int(rises.sum()) >= most:
            return None
        is_first = torch.cat([rises.new_ones(1), rises])
        return self.values[is_first]

    def cuts(self, centroids: Tensor) -> Tensor:
        """The cuts between the cells of ascending centroids. A tie goes to the lower cell."""
        midpoints = (centroids[1:] + centroids[:-1]) / 2
        inner = torch.searchsorted(self.points, midpoints, right=True)
        first = inner.new_zeros(1)
        last = inner.new_full((1,), self.points.numel())
        return torch.cat([first, inner, last])


def cluster(
    values: Tensor, clusters: int, init: str, seed: int, importance: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Cluster values by k-means, from a start that is one of `INIT_METHODS`.

    values: float32, finite, at least one. importance: the factor of each value's squared error,
    above 0, in the shape of `values`. Returns the centroids (k,) float32, ascending, and the
    index of each value, uint8 in the shape of `values`; both on their device. If there are at most
    `clusters` distinct values, these are the centroids. `seed` matters for "kmeans++" only.
    """
    line = SortedWeights.of(values, importance)
    centroids = line.distinct_values(clusters)
    if centroids is not None:
        largest = centroids[:-1]
    else:
        cuts = _converged_cuts(line, INIT_METHODS[init](line, clusters, seed))
        centroids = _means(line, cuts).float()
        # The largest value of each cell splits the values exactly where the sorted ones were cut,
        # ties included.
        largest = line.values[cuts[1:-1] - 1]
    return centroids.to(values.device), cells_of(values, largest.to(values.device))


def cells_of(values: Tensor, largest: Tensor) -> Tensor:
    """The index of the cell of each value, uint8.

    largest: the largest value of each cell but the last, ascending.
    """
    return torch.bucketize(values, largest, out_int32=True).to(torch.uint8)


def _converged_cuts(line: SortedWeights, centroids: Tensor) -> Tensor:
    """The cuts where Lloyd's algorithm ends.

    If a cell was empty on the way, the algorithm also runs from a rough optimum, and the better
    result is kept.
    """
    cuts, had_empty_cell = _lloyd(line, centroids)
    if not had_empty_cell:
        return cuts
    rough = optimal_cuts(
        line.points, len(centroids), line.importance, exact=_ROUGH_SIZE, bins=_ROUGH_SIZE
    )
    other_cuts, _ = _lloyd(line, _means(line, rough))
    if _explained_squares(line, other_cuts) > _explained_squares(line, cuts):
        return other_cuts
    return cuts


def _lloyd(line: SortedWeights, centroids: Tensor) -> tuple[Tensor, bool]:
    """Assign and average until nothing changes.

    Returns the cuts, and whether a cell was ever empty.
    """
    cuts = line.cuts(centroids)
    previous: Tensor | None = None
    before_previous: Tensor | None = None
    had_empty_cell = False
    for _ in range(_MOST_ITERATIONS):
        is_empty = cuts[1:] == cuts[:-1]
        if bool(is_empty.any()):
            centroids = _refill(line, cuts, centroids, is_empty)
            had_empty_cell = True
        elif _same(cuts, previous) or _same(cuts, before_previous):
            # Rounding may make two results alternate for ever, so the last but one counts, too.
            break
        else:
            centroids = _means(line, cuts)
        before_previous = previous
        previous = cuts
        cuts = line.cuts(centroids)
    return cuts, had_empty_cell


def _same(cuts: Tensor, other: Tensor | None) -> bool:
    return other is not None and torch.equal(cuts, other)


def _means(line: SortedWeights, cuts: Tensor) -> Tensor:
    return line.sums[cuts].diff() / line.masses[cuts].diff()


def _explained_squares(line: SortedWeights, cuts: Tensor) -> float:
    """Sum of squares between the cells: the larger it is, the smaller is that within them."""
    distances = _means(line, cuts) - line.points.mean()
    return float((distances.square() * line.masses[cuts].diff()).sum())


def _refill(line: SortedWeights, cuts: Tensor, centroids: Tensor, is_empty: Tensor) -> Tensor:
    """The means of the cells, with the centroids of empty cells moved to the farthest points.

    The farthest points are those with the greatest distance from the centroid of their cell. They
    leave their cells before the means are taken. In an interval they are at its ends, so with m
    empty cells only m points from each end of each cell are candidates.
    """
    empty_count = int(is_empty.sum())
    candidates = _end_positions(cuts, empty_count)
    cells = torch.searchsorted(cuts[1:], candidates, right=True)
    distances = (line.points[candidates] - centroids[cells]).abs()
    farthest = distances.topk(empty_count).indices
    points = line.points[candidates[farthest]]
    left_cells = cells[farthest]
    importance = torch.ones_like(points)
    if line.importance is not None:
        importance = line.importance[candidates[farthest]]
    sums = line.sums[cuts].diff().index_add_(0, left_cells, -importance * points)
    masses = line.masses[cuts].diff().index_add_(0, left_cells, -importance)
    counts = cuts.diff().index_add_(0, left_cells, -torch.ones_like(left_cells))
    means = torch.where(counts > 0, sums / masses, centroids)
    means[is_empty] = points
    return means.sort().values


def _end_positions(cuts: Tensor, count: int) -> Tensor:
    """The first and the last `count` positions of each cell, ascending and without repetition."""
    steps = torch.arange(count, device=cuts.device)
    begins = cuts[:-1, None]
    ends = cuts[1:, None]
    positions = torch.cat([begins + steps, ends - 1 - steps], dim=1)
    is_inside = (positions >= begins) & (positions < ends)
    inside: Tensor = torch.unique(positions[is_inside])
    return inside


def _linear(line: SortedWeights, clusters: int, seed: int) -> Tensor:
    """Centroids at even distances over the range of the values."""
    lowest = line.points[0]
    highest = line.points[-1]
    fractions = torch.linspace(0, 1, clusters, dtype=torch.float64, device=lowest.device)
    return lowest + (highest - lowest) * fractions


def _density(line: SortedWeights, clusters: int, seed: int) -> Tensor:
    """The middle value of each of k groups of equally many weights."""
    odd_numbers = torch.arange(1, 2 * clusters, 2, device=line.points.device)
    positions = odd_numbers * line.points.numel() // (2 * clusters)
    return line.points[positions]


def _plus_plus(line: SortedWeights, clusters: int, seed: int) -> Tensor:
    """k-means++: draw each next centroid by its squared distance from those before.

    Arthur and Vassilvitskii, "k-means++: The Advantages of Careful Seeding" (SODA 2007).
    """
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(clusters, dtype=torch.float64, generator=generator).tolist()
    count = line.points.numel()
    chosen = [line.points[int(draws[0] * count)]]
    distances = (line.points - chosen[0]).square_()
    for draw in draws[1:]:
        sums = distances.cumsum(0)
        position = torch.searchsorted(sums, draw * sums[-1:], right=True).clamp_(max=count - 1)
        chosen.append(line.points[position[0]])
        new_distances = (line.points - chosen[-1]).square_()
        torch.minimum(distances, new_distances, out=distances)
    return torch.stack(chosen).sort().values


def _optimal(line: SortedWeights, clusters: int, seed: int) -> Tensor:
    return _means(line, optimal_cuts(line.points, clusters, line.importance))


INIT_METHODS: dict[str, Callable[[SortedWeights, int, int], Tensor]] = {
    "linear": _linear,
    "kmeans++": _plus_plus,
    "density": _density,
    "optimal": _optimal,
}
"""The first centroids (k,) float64, ascending, from (sorted weights, clusters, seed)."""
