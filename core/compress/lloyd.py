"""k-means on a line: Lloyd's algorithm to its fixed point, on sorted values and their prefix sums.

Lloyd, "Least squares quantization in PCM" (IEEE Transactions on Information Theory 28/2, 1982). On a line the cells
are intervals: with the values sorted once, an iteration looks up k - 1 midpoints and takes k differences of prefix
sums, O(k log n) instead of O(n k).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from core.compress.optimal import optimal_cuts, outward_sums

# Iterations before giving up on a fixed point, in case rounding never lets it settle. Two million weights settle into
# 256 clusters after 12,000.
_PATIENCE = 100_000


@dataclass(frozen=True, eq=False)
class Line:
    """Sorted values: `raw` float32 (n,), `points` the same in float64, and their prefix `sums` (n + 1,) about zero."""

    raw: Tensor
    points: Tensor
    sums: Tensor

    @classmethod
    def of(cls, values: Tensor) -> "Line":
        # NumPy sorts float32 about 15 times faster than torch on a CPU; MPS has no float64, so its weights come too.
        on_gpu = values.device.type == "cuda"
        raw = values.flatten().sort().values if on_gpu else torch.from_numpy(np.sort(values.cpu().numpy(), axis=None))
        points = raw.double()
        return cls(raw, points, outward_sums(points, int((raw < 0).sum())))

    def few_values(self, most: int) -> Tensor | None:
        """The distinct values if there are at most `most` of them."""
        steps = self.raw[1:] != self.raw[:-1]
        if int(steps.sum()) >= most:
            return None
        return self.raw[torch.cat([steps.new_ones(1), steps])]

    def cuts(self, centroids: Tensor) -> Tensor:
        """Positions (k + 1,) of the ends of the cells of ascending centroids; a tie goes to the lower cell."""
        middle = torch.searchsorted(self.points, (centroids[1:] + centroids[:-1]) / 2, right=True)
        return torch.cat([middle.new_zeros(1), middle, middle.new_full((1,), self.points.numel())])


def cluster(values: Tensor, clusters: int, init: str, seed: int) -> tuple[Tensor, Tensor]:
    """Centroids (k,) float32, ascending, and the indices of `values`, uint8 in their shape; both on their device.

    values: float32, finite, at least one. If there are at most `clusters` distinct ones, they are the centroids.
    init: one of `INITS`, whose start `seed` may matter to.
    """
    line = Line.of(values)
    centroids = line.few_values(clusters)
    if centroids is not None:
        tops = centroids[:-1]
    else:
        cuts = _converged(line, INITS[init](line, clusters, seed))
        centroids = _means(line, cuts).float()
        # The largest weight of each cell splits the weights just where the sorted ones were cut, ties included.
        tops = line.raw[cuts[1:-1] - 1]
    return centroids.to(values.device), cells_of(values, tops.to(values.device))


def cells_of(values: Tensor, tops: Tensor) -> Tensor:
    """How many of the ascending `tops`, the largest values of all cells but the last, are less than each value."""
    return torch.bucketize(values, tops, out_int32=True).to(torch.uint8)


def _converged(line: Line, centroids: Tensor) -> Tensor:
    """Lloyd's cuts from a start; where it stranded a centroid, the better of these and those from a rough optimum."""
    cuts, stranded = _lloyd(line, centroids)
    if not stranded:
        return cuts
    rough = optimal_cuts(line.points, len(centroids), exact=1024, bins=1024)
    return max(cuts, _lloyd(line, _means(line, rough))[0], key=lambda cuts: _explained(line, cuts))


def _lloyd(line: Line, centroids: Tensor) -> tuple[Tensor, bool]:
    """The cuts at which assigning and averaging change nothing more, and whether a cell was empty on the way."""
    cuts, earlier, last, stranded = line.cuts(centroids), None, None, False
    for _ in range(_PATIENCE):
        empty = cuts[1:] == cuts[:-1]
        if bool(empty.any()):
            centroids, stranded = _relocated(line, cuts, centroids, empty), True
        elif _settled(cuts, last, earlier):
            break
        else:
            centroids = _means(line, cuts)
        earlier, last, cuts = last, cuts, line.cuts(centroids)
    return cuts, stranded


def _settled(cuts: Tensor, last: Tensor | None, earlier: Tensor | None) -> bool:
    """Whether the cuts stand; two that only rounding tells apart may also alternate for ever."""
    return any(before is not None and torch.equal(cuts, before) for before in (last, earlier))


def _means(line: Line, cuts: Tensor) -> Tensor:
    return line.sums[cuts].diff() / cuts.diff()


def _explained(line: Line, cuts: Tensor) -> float:
    """Sum of squares between the cells, which the sum within them complements."""
    return float(((_means(line, cuts) - line.points.mean()).square() * cuts.diff()).sum())


def _relocated(line: Line, cuts: Tensor, centroids: Tensor, empty: Tensor) -> Tensor:
    """The means, with each empty cell's centroid on one of the points that are farthest from their own.

    Those points leave their cells first. In an interval the farthest points are at its ends, so with m empty cells
    only m points from either end of each cell need to be looked at.
    """
    moved = int(empty.sum())
    steps = torch.arange(moved, device=cuts.device)
    start, end = cuts[:-1, None], cuts[1:, None]
    ends = torch.cat([start + steps, end - 1 - steps], dim=1)
    near = ((ends >= start) & (ends < end)).nonzero()
    spots = ends[near[:, 0], near[:, 1]].unique()
    cell = torch.searchsorted(cuts[1:], spots, right=True)
    far = (line.points[spots] - centroids[cell]).abs().topk(moved).indices
    points, cell = line.points[spots[far]], cell[far]
    sums = line.sums[cuts].diff().index_add_(0, cell, -points)
    counts = cuts.diff().index_add_(0, cell, -torch.ones_like(cell))
    means = torch.where(counts > 0, sums / counts, centroids)
    means[empty] = points
    return means.sort().values


def _linear(line: Line, clusters: int, seed: int) -> Tensor:
    low, high = line.points[0], line.points[-1]
    return low + (high - low) * torch.linspace(0, 1, clusters, dtype=torch.float64, device=low.device)


def _density(line: Line, clusters: int, seed: int) -> Tensor:
    """The middle of each of k groups of equally many weights: even spacing along the distribution function."""
    middles = torch.arange(1, 2 * clusters, 2, device=line.points.device)
    return line.points[middles * line.points.numel() // (2 * clusters)]


def _plus_plus(line: Line, clusters: int, seed: int) -> Tensor:
    """Arthur and Vassilvitskii, "k-means++" (2007): each next centroid is drawn by squared distance to those before."""
    draws = torch.rand(clusters, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).tolist()
    chosen = [line.points[int(draws[0] * line.points.numel())]]
    distance = (line.points - chosen[0]).square_()
    for draw in draws[1:]:
        total = distance.cumsum(0)
        spot = torch.searchsorted(total, draw * total[-1:], right=True).clamp_(max=total.numel() - 1)
        chosen.append(line.points[spot[0]])
        torch.minimum(distance, (line.points - chosen[-1]).square_(), out=distance)
    return torch.stack(chosen).sort().values


def _optimal(line: Line, clusters: int, seed: int) -> Tensor:
    return _means(line, optimal_cuts(line.points, clusters))


INITS: dict[str, Callable[[Line, int, int], Tensor]] = {
    "linear": _linear, "kmeans++": _plus_plus, "density": _density, "optimal": _optimal}
