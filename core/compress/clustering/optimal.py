"""The globally optimal one-dimensional k-means clustering, by dynamic programming.

Wang and Song, "Ckmeans.1d.dp" (The R Journal 3/2, 2011). With c cells up to edge j, the least cost
is D[c][j] = min over i of D[c - 1][i] + cost(i, j). The edge i where the last cell begins never
moves back as j grows. So each row D[c] is computed by divide and conquer, here level by level.

An edge is a position among the sorted points at which a cell may begin or end.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]


def outward_sums(values: Tensor, middle: int) -> Tensor:
    """Prefix sums (n + 1,) of values (n,), counted from position `middle` outwards.

    The difference of two is the sum of the values between them. Values far from the middle do not
    cost those near it precision, as they would in sums from the first value on.
    """
    left = -values[:middle].flip(0).cumsum(0).flip(0)
    right = values[middle:].cumsum(0)
    return torch.cat([left, values.new_zeros(1), right])


def optimal_cuts(
    points: Tensor,
    clusters: int,
    importance: Tensor | None = None,
    exact: int = 65_536,
    bins: int = 16_384,
) -> Tensor:
    """Cut sorted points into cells with the least sum of squared errors.

    points: (n,) float64, ascending, with more than `clusters` distinct values.
    importance: (n,) float64, above 0, the factor of each squared error; None if all are 1.
    exact: up to this many distinct values, the cuts are optimal among all cuts (up to rounding).
    bins: for more values, the cuts are the best among the edges of about this many bins, at least
    512. Half of the bins are equally wide, half hold equally many distinct values.

    Returns the positions (clusters + 1,) of the cuts. The time grows with clusters * bins *
    log(bins).
    """
    edges = _edges(points, exact, bins)
    moments = _moments(points, importance, edges)
    last = len(edges) - 1
    first_row = _cost(moments, np.zeros(last, np.int64), np.arange(1, last + 1))
    least_costs = np.concatenate([[np.inf], first_row])
    begins = []
    for cells in range(2, clusters + 1):
        least_costs, begin = _with_one_more_cell(moments, least_costs, cells)
        begins.append(begin)
    cuts = [last]
    for begin in reversed(begins):
        cuts.append(int(begin[cuts[-1]]))
    cuts.append(0)
    cuts.reverse()
    return edges[torch.tensor(cuts, device=edges.device)]


def _edges(points: Tensor, exact: int, bins: int) -> Tensor:
    """The edges from 0 to n. None is between equal points."""
    rises = (points[1:] != points[:-1]).nonzero().flatten() + 1
    if len(rises) >= exact:
        fractions = torch.linspace(0, 1, bins // 2, dtype=torch.float64, device=points.device)
        inner_values = points[0] + (points[-1] - points[0]) * fractions[1:-1]
        equally_wide = torch.searchsorted(points, inner_values)
        equally_full = rises[(fractions * (len(rises) - 1)).long()]
        rises = torch.unique(torch.cat([equally_wide, equally_full]))
    first = rises.new_zeros(1)
    last = rises.new_full((1,), len(points))
    return torch.cat([first, rises, last])


def _moments(points: Tensor, importance: Tensor | None, edges: Tensor) -> _Floats:
    """Prefix sums up to each edge of importance, importance * point and importance * point^2.

    In NumPy, which is faster than torch with arrays as small as the edges.
    """
    middle = len(points) // 2
    centred = points - points[middle]
    masses = edges.double()
    weighted = centred
    if importance is not None:
        masses = outward_sums(importance, middle)[edges]
        weighted = importance * centred
    sums = outward_sums(weighted, middle)[edges]
    squares = outward_sums(weighted * centred, middle)[edges]
    return np.stack([masses.cpu().numpy(), sums.cpu().numpy(), squares.cpu().numpy()])


def _cost(moments: _Floats, begin: _Ints, end: _Ints) -> _Floats:
    """Sum of squared errors about their means of the cells from edge `begin` to edge `end`."""
    masses, sums, squares = moments[:, end] - moments[:, begin]
    costs: _Floats = np.maximum(squares - sums * sums / masses, 0)
    return costs


def _with_one_more_cell(moments: _Floats, shorter: _Floats, cells: int) -> tuple[_Floats, _Ints]:
    """The least cost up to each edge with `cells` cells, and the edge where the last cell begins.

    shorter: the least costs with one cell less. Level by level, the edges half-way between two
    solved ones are solved; the answers of these two bound theirs.
    """
    last = len(shorter) - 1
    costs = np.full(last + 1, np.inf)
    begins = np.full(last + 1, last - 1)
    costs[cells] = shorter[cells - 1]
    begins[cells] = cells - 1
    stride = 1 << max(last - cells, 0).bit_length()
    while stride > 1:
        half = stride // 2
        ends = np.arange(cells + half, last + 1, stride)
        low = begins[ends - half]
        # Beyond the last edge nothing is solved. There `begins` still holds the largest edge at
        # which a cell can begin.
        next_solved = np.minimum(ends + half, last)
        high = np.minimum(begins[next_solved], ends - 1)
        costs[ends], begins[ends] = _least(moments, shorter, low, high, ends)
        stride = half
    return costs, begins


def _least(
    moments: _Floats, shorter: _Floats, low: _Ints, high: _Ints, ends: _Ints
) -> tuple[_Floats, _Ints]:
    """For each end, minimise shorter[i] + cost(i, end) over low <= i <= high.

    Returns the least sums, and the first i that has each. All candidates of all ends lie one after
    the other in flat arrays.
    """
    widths = high - low + 1
    first = widths.cumsum() - widths  # where the candidates of each end begin
    candidates = np.arange(widths.sum()) + np.repeat(low - first, widths)
    costs = shorter[candidates] + _cost(moments, candidates, np.repeat(ends, widths))
    least = np.minimum.reduceat(costs, first)
    is_least = costs == np.repeat(least, widths)
    hits = np.flatnonzero(is_least)
    first_hits = hits[np.searchsorted(hits, first)]
    return least, candidates[first_hits]
