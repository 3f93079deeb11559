"""The cells of a globally optimal one-dimensional k-means codebook, by dynamic programming.

Wang and Song, "Ckmeans.1d.dp" (The R Journal 3/2, 2011), recurrence D[c][j] = min_i D[c - 1][i] + cost(i, j). Where
the last cell begins never moves back as j grows, so a row is found by divide and conquer, here a level at a time.
"""

import numpy as np
import torch
from torch import Tensor


def outward_sums(values: Tensor, middle: int) -> Tensor:
    """Prefix sums (n + 1,) of values (n,), less those before `middle`, summed from there outwards.

    A difference of two is the sum between them, and values far out do not cost those near the middle precision.
    """
    left = -values[:middle].flip(0).cumsum(0).flip(0)
    return torch.cat([left, values.new_zeros(1), values[middle:].cumsum(0)])


def optimal_cuts(points: Tensor, clusters: int, exact: int = 65_536, bins: int = 16_384) -> Tensor:
    """Positions (clusters + 1,) that cut sorted points into cells of the least sum of squared errors.

    points: (n,) float64, ascending, of more than `clusters` distinct values. Up to `exact` distinct values the cuts
    are optimal among all cuts (to rounding). Beyond, they are the best among the edges of about `bins` bins, at least
    512: half of them equally wide, half with equally many distinct values. Time grows with clusters times bins times
    log bins.
    """
    edges = _edges(points, exact, bins)
    middle = len(points) // 2
    centred = points - points[middle]
    # From here on it is about bins, not weights: small arrays, which NumPy is quicker with than torch.
    table = np.stack([edges.double().cpu().numpy(), *(outward_sums(values, middle)[edges].cpu().numpy()
                                                      for values in (centred, centred.square()))])
    last = len(edges) - 1
    total = np.concatenate([[np.inf], _cost(table, np.zeros(last, np.int64), np.arange(1, last + 1))])
    begins = []
    for cells in range(2, clusters + 1):
        total, begin = _with_one_more_cell(table, total, cells)
        begins.append(begin)
    cuts = [last]
    for begin in reversed(begins):
        cuts.append(int(begin[cuts[-1]]))
    return edges[torch.tensor([0, *cuts[::-1]], device=edges.device)]


def _edges(points: Tensor, exact: int, bins: int) -> Tensor:
    """Positions from 0 to n where a cell may end: never between equal points."""
    rises = (points[1:] != points[:-1]).nonzero().flatten() + 1
    if len(rises) >= exact:
        steps = torch.linspace(0, 1, bins // 2, dtype=torch.float64, device=points.device)
        wide = torch.searchsorted(points, points[0] + (points[-1] - points[0]) * steps[1:-1])
        rises = torch.cat([wide, rises[(steps * (len(rises) - 1)).long()]]).unique()
    return torch.cat([rises.new_zeros(1), rises, rises.new_full((1,), len(points))])


def _cost(table: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Sum of squared errors of the cells from edge `begin` to edge `end` about their means."""
    counts, sums, squares = table[:, end] - table[:, begin]
    return np.maximum(squares - sums * sums / counts, 0)


def _with_one_more_cell(table: np.ndarray, total: np.ndarray, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Least cost up to each edge with `cells` cells, and the edge at which the last of them begins.

    total: the same with one cell less. First the middle edge is solved, then those between two solved ones, whose
    answers bound theirs.
    """
    last = len(total) - 1
    best, begin = np.full(last + 1, np.inf), np.full(last + 1, last - 1)
    best[cells], begin[cells] = total[cells - 1], cells - 1
    stride = 1 << max(last - cells, 0).bit_length()
    while stride > 1:
        half = stride // 2
        ends = np.arange(cells + half, last + 1, stride)
        low = begin[ends - half]
        # Past the last edge there is no answer yet: begin still holds the largest edge that a cell can begin at.
        high = np.minimum(begin[np.minimum(ends + half, last)], ends - 1)
        best[ends], begin[ends] = _least(table, total, low, high, ends)
        stride = half
    return best, begin


def _least(table: np.ndarray, total: np.ndarray, low: np.ndarray, high: np.ndarray,
           ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each end the least total[i] + cost(i, end) over low <= i <= high, and the first i that has it."""
    widths = high - low + 1
    first = widths.cumsum() - widths
    edge = np.arange(widths.sum()) + np.repeat(low - first, widths)
    costs = total[edge] + _cost(table, edge, np.repeat(ends, widths))
    least = np.minimum.reduceat(costs, first)
    hits = np.flatnonzero(costs == np.repeat(least, widths))
    return least, edge[hits[np.searchsorted(hits, first)]]
