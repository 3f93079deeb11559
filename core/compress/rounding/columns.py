"""Rounds the weights of a layer so that its output changes as little as possible.

The weight is seen as (G, R, n): G groups of R output channels, each a row of n weights. All numbers
here are float64, because the matrices are nearly singular.

Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers"
(arXiv:2210.17323), algorithm 1, rounds one column after the other. Behdin et al., "QuantEase"
(arXiv:2309.01885), algorithm 2, improves the result by coordinate descent.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from core.compress.rounding.levels import Levels

BLOCK = 128
"""Columns whose changes are collected before they are applied to the columns after them."""

_MOST_BYTES = 2**28
"""Memory for the matrices of rows that are pruned differently."""

_MOST_ROW_WORK = 5e11
"""Cubed lengths of the rows, summed, up to which each row gets a factor of its own."""


@dataclass(frozen=True, eq=False)
class OutputError:
    """The output error of a layer as a quadratic function of its weight, up to a constant.

    A row q has the error q A q^T - 2 q b^T.
    quadratic: A, (G, n, n), symmetric and positive definite.
    linear: b of every row, (G, R, n).
    weight: the weight in float, (G, R, n).
    kept: bool (G, R, n), False for pruned weights, which stay exactly 0; None if there are none.
    """

    quadratic: Tensor
    linear: Tensor
    weight: Tensor
    kept: Tensor | None = None

    @cached_property
    def order(self) -> Tensor:
        """The columns by falling quadratic coefficient, (G, n)."""
        diagonal = self.quadratic.diagonal(0, 1, 2)
        return torch.argsort(diagonal, dim=1, descending=True, stable=True)

    @cached_property
    def factor(self) -> Tensor:
        """The `inverse_factor` of A with rows and columns in order; computed once, it takes long.

        Raises torch.linalg.LinAlgError if A is not positive definite.
        """
        shape = self.quadratic.shape
        in_order = self.quadratic.gather(1, self.order[:, :, None].expand(shape))
        return inverse_factor(in_order.gather(2, self.order[:, None, :].expand(shape)))

    def of(self, rounded: Tensor) -> float:
        """Return the error of all rows together, which may be negative without its constant."""
        return float(((rounded @ self.quadratic - 2 * self.linear) * rounded).sum())


def round_columns(error: OutputError, levels: Levels, block: int = BLOCK) -> Tensor:
    """Round the columns one by one, and let those that follow make up for each error (GPTQ).

    It begins with the weight that has the least error, not with the weight itself. Returns the
    rounded weight, (G, R, n). block: columns that are updated at once, which does not change the
    result. Columns are rounded by falling quadratic coefficient.

    Rows that are pruned differently have different optimal updates. Each gets its own, unless that
    takes too long. Then it begins with the weight itself, and what a pruned weight should have made
    up for is lost.
    """
    if error.kept is not None and _row_work(error.kept) <= _MOST_ROW_WORK:
        return _round_rows(error, levels, error.kept)
    return _round_all_rows(error, levels, block)


def descend(error: OutputError, rounded: Tensor, levels: Levels, sweeps: int = 2) -> Tensor:
    """Improve rounded weights by coordinate descent (QuantEase). No row's error grows.

    Each weight in turn moves to the level that is best while all others stay. sweeps: how often all
    weights are visited, unless none moves any more.
    """
    quadratic = error.quadratic
    diagonal = quadratic.diagonal(0, 1, 2)
    kept = None if error.kept is None else _columns_first(error.kept)
    current = _columns_first(rounded).clone()
    slope = _columns_first(error.linear) - quadratic @ current  # half the negative gradient
    for _ in range(sweeps):
        has_moved = False
        for block in _blocks(current.shape[1], BLOCK):
            block_slope = slope[:, block].clone()
            steps = torch.zeros_like(block_slope)
            for place, column in enumerate(range(block.start, block.stop)):
                best = current[:, column] + block_slope[:, place] / diagonal[:, column, None]
                level = _nearest(levels, best, kept, column)
                steps[:, place] = level - current[:, column]
                current[:, column] = level
                later = slice(column + 1, block.stop)
                block_slope[:, place + 1 :].baddbmm_(
                    quadratic[:, later, column, None], steps[:, None, place], alpha=-1
                )
            if bool(steps.any()):
                has_moved = True
                slope.baddbmm_(quadratic[:, :, block], steps, alpha=-1)
        if not has_moved:
            break
    return current.mT.contiguous()


def inverse_factor(matrices: Tensor) -> Tensor:
    """Return the upper triangular U with U^T U = A^-1, for each A of a batch (..., n, n).

    Raises torch.linalg.LinAlgError if one is not positive definite.
    """
    inverses = torch.cholesky_inverse(torch.linalg.cholesky(matrices))
    factor: Tensor = torch.linalg.cholesky(inverses, upper=True)
    return factor


def _columns_first(values: Tensor) -> Tensor:
    """Store (G, R, n) as (G, n, R), so that the values of a column lie next to each other.

    Otherwise they are n numbers apart, and reading a column is many times slower.
    """
    return values.mT.contiguous()


def _blocks(columns: int, size: int) -> Iterator[slice]:
    for start in range(0, columns, size):
        yield slice(start, min(start + size, columns))


def _nearest(levels: Levels, values: Tensor, kept: Tensor | None, column: int) -> Tensor:
    """The nearest levels of one column's values, (G, R), and 0 for pruned weights.

    kept: (G, n, R).
    """
    level = levels.nearest(values)
    return level if kept is None else level.masked_fill(~kept[:, column], 0.0)


def _round_all_rows(error: OutputError, levels: Levels, size: int) -> Tensor:
    """Round with one factor for all rows of a group. size: columns that are updated at once."""
    in_order = error.order[:, None, :].expand_as(error.weight)
    factor = error.factor
    kept = None
    if error.kept is None:
        start = error.linear.gather(2, in_order) @ factor.mT @ factor  # b A^-1
    else:
        start = error.weight.gather(2, in_order)
        kept = _columns_first(error.kept.gather(2, in_order))
    remaining = _columns_first(start)
    rounded = torch.zeros_like(remaining)
    columns = remaining.shape[1]
    for block in _blocks(columns, size):
        errors = torch.zeros_like(remaining[:, block])
        for place, column in enumerate(range(block.start, block.stop)):
            level = _nearest(levels, remaining[:, column], kept, column)
            rounded[:, column] = level
            errors[:, place] = remaining[:, column] - level
            errors[:, place] /= factor[:, column, column, None]
            later = slice(column + 1, block.stop)
            _subtract_(
                remaining, factor[:, column, later, None], errors[:, None, place], kept, later
            )
        later = slice(block.stop, columns)
        _subtract_(remaining, factor[:, block, later].mT, errors, kept, later)
    result = torch.empty_like(error.weight)
    return result.scatter_(2, in_order, rounded.mT)


def _subtract_(
    remaining: Tensor, factor: Tensor, errors: Tensor, kept: Tensor | None, columns: slice
) -> None:
    """Subtract factor @ errors from these columns, but not where weights are pruned."""
    if kept is None:
        remaining[:, columns].baddbmm_(factor, errors, alpha=-1)
    else:
        remaining[:, columns] -= (factor @ errors) * kept[:, columns]


def _row_work(kept: Tensor) -> float:
    return float(kept.sum(2).double().pow(3).sum())


def _round_rows(error: OutputError, levels: Levels, kept: Tensor) -> Tensor:
    """Round each row with the factor of its kept columns, several rows at a time.

    Rows of similar lengths come together, because the shorter ones are filled up.
    """
    result = torch.zeros_like(error.weight)
    rows = result.view(-1, result.shape[2])
    lengths, by_length = kept.sum(2).flatten().sort()
    start = 0
    while start < len(rows):
        stop = start + 1
        while stop < len(rows) and _bytes(stop + 1 - start, int(lengths[stop])) <= _MOST_BYTES:
            stop += 1
        longest = int(lengths[stop - 1])
        if longest:
            chosen = by_length[start:stop]
            rows[chosen] = _round_some_rows(error, levels, kept, chosen, longest)
        start = stop
    return result


def _bytes(rows: int, length: int) -> int:
    return 8 * rows * length**2


def _round_some_rows(
    error: OutputError, levels: Levels, kept: Tensor, rows: Tensor, longest: int
) -> Tensor:
    """Round these rows, (r, n), of the G * R rows. None of them keeps more than `longest`."""
    group = rows // kept.shape[1]
    row_order = error.order[group]
    is_kept = kept.flatten(0, 1)[rows].gather(1, row_order)
    # The kept columns of each row first, both parts in order.
    places = torch.argsort((~is_kept).to(torch.uint8), dim=1, stable=True)[:, :longest]
    is_kept = is_kept.gather(1, places)
    columns = row_order.gather(1, places)
    quadratic = error.quadratic[group[:, None, None], columns[:, :, None], columns[:, None, :]]
    quadratic = quadratic * (is_kept[:, :, None] & is_kept[:, None, :])
    # A row that is shorter is filled up with columns that no other one depends on.
    factor = inverse_factor(quadratic + torch.diag_embed((~is_kept).double()))
    linear = error.linear.flatten(0, 1)[rows].gather(1, columns) * is_kept
    remaining = (linear[:, None, :] @ factor.mT @ factor)[:, 0]  # b A^-1
    rounded = torch.zeros_like(remaining)
    for column in range(longest):
        level = levels.nearest(remaining[:, column], rows)
        level = level.masked_fill(~is_kept[:, column], 0.0)
        scaled = (remaining[:, column] - level) / factor[:, column, column]
        rounded[:, column] = level
        remaining[:, column + 1 :] -= scaled[:, None] * factor[:, column, column + 1 :]
    result = torch.zeros((len(rows), kept.shape[2]), dtype=rounded.dtype, device=rounded.device)
    return result.scatter_(1, columns, rounded)
