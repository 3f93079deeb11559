"""Rounds the columns of a layer's weight so that its output changes as little as possible.

Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers"
(arXiv:2210.17323), algorithm 1, rounds one column after the other. It works with a factor of A^-1.
A factor of A itself gives the same in a fraction of the time. With A = U D U^T and the best weight
w = b A^-1, the error of a row q is the sum of d_j (((q - w) U)_j)^2 over the columns j. Term j has
q_j and columns before it, and q_j is rounded to make this term small.

Behdin et al., "QuantEase" (arXiv:2309.01885), algorithm 2, improves the result by coordinate
descent.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from core.compress.compensation.output_error import Factor, OutputError
from core.compress.rounding.levels import RoundingLevels

BLOCK = 128
"""Columns whose changes are collected before they are applied to the columns after them."""

_MOST_BYTES = 2**28
"""Memory for the matrices of rows that are pruned differently."""

_MOST_ROW_WORK = 5e11
"""Cubed lengths of the rows, summed, up to which each row gets a factor of its own."""


def round_columns(error: OutputError, levels: RoundingLevels, block: int = BLOCK) -> Tensor:
    """Round the columns one by one, and let those that follow make up for each error (GPTQ).

    It begins with the weight that has the least error, not with the weight itself. Returns the
    rounded weight, (G, R, n). block: columns that are updated at once, which does not change the
    result. Columns are rounded by falling quadratic coefficient.

    Rows that are pruned differently have different optimal updates. Each gets its own, unless that
    takes too long. Then a pruned weight is rounded to 0 like others to their levels, and the
    weights after it make up for that.
    """
    if error.kept is not None and _row_work(error.kept) <= _MOST_ROW_WORK:
        return _round_rows(error, levels, error.kept)
    return _round_all_rows(error, levels, block)


def descend(error: OutputError, rounded: Tensor, levels: RoundingLevels, sweeps: int = 2) -> Tensor:
    """Improve rounded weights by coordinate descent (QuantEase). No row's error grows.

    Each weight in turn moves to the level that is best while all others stay. sweeps: how often all
    weights are visited, unless none moves any more.
    """
    quadratic = error.quadratic
    diagonal = quadratic.diagonal(0, 1, 2)[:, :, None]
    kept = None if error.kept is None else _columns_first(error.kept)
    current = _columns_first(rounded).clone()
    slope = _columns_first(error.linear) - quadratic @ current  # half the negative gradient
    for sweep in range(sweeps):
        is_last = sweep + 1 == sweeps
        has_moved = False
        for block in _blocks(current.shape[1], BLOCK):
            before = current[:, block]
            shifts = quadratic[:, block, block] / diagonal[:, block]
            # Each column's best value, if those before it in the block were 0.
            values = before + slope[:, block] / diagonal[:, block] + shifts.tril(-1) @ before
            _round_block_(values, shifts, levels, None if kept is None else kept[:, block])
            steps = values - before
            if bool(steps.any()):
                has_moved = True
                current[:, block] = values
                # In the last sweep, the columns before this block are not visited again.
                visited = slice(block.start if is_last else 0, None)
                slope[:, visited].baddbmm_(quadratic[:, visited, block], steps, alpha=-1)
        if not has_moved:
            break
    return current.mT.contiguous()


def _columns_first(values: Tensor) -> Tensor:
    """Store (G, R, n) as (G, n, R), so that the values of a column lie next to each other.

    Otherwise they are n numbers apart, and reading a column is many times slower.
    """
    return values.mT.contiguous()


def _blocks(columns: int, size: int) -> Iterator[slice]:
    for start in range(0, columns, size):
        yield slice(start, min(start + size, columns))


def _round_block_(
    values: Tensor,
    shifts: Tensor,
    levels: RoundingLevels,
    kept: Tensor | None = None,
    rows: Tensor | None = None,
) -> None:
    """Round the columns of a block one after the other, in place.

    values: (G, k, R). shifts: (G, k, k). Before column j is rounded, it loses shifts[:, j, i] times
    the level of each column i < j. kept: bool (G, k, R), False for weights that become 0; None if
    there are none. rows: see `RoundingLevels.nearest`.
    """
    for column in range(values.shape[1]):
        level = levels.nearest(values[:, column], rows)
        if kept is not None:
            level = level.masked_fill(~kept[:, column], 0.0)
        values[:, column] = level
        later = slice(column + 1, None)
        values[:, later].baddbmm_(shifts[:, later, column, None], level[:, None], alpha=-1)


def _round_with_factor_(
    values: Tensor,
    upper: Tensor,
    levels: RoundingLevels,
    kept: Tensor | None = None,
    rows: Tensor | None = None,
    size: int = BLOCK,
) -> None:
    """Round all columns, in place.

    values: w U of the weights w to begin with, columns first, (G, n, R). upper: U. size: columns
    that are updated at once. The others as in `_round_block_`.
    """
    for block in _blocks(values.shape[1], size):
        shifts = upper[:, block, block].mT
        kept_here = None if kept is None else kept[:, block]
        _round_block_(values[:, block], shifts, levels, kept_here, rows)
        later = slice(block.stop, None)
        values[:, later].baddbmm_(upper[:, block, later].mT, values[:, block], alpha=-1)


def _round_all_rows(error: OutputError, levels: RoundingLevels, size: int) -> Tensor:
    """Round with one factor for all rows of a group. size: columns that are updated at once."""
    in_order = error.order[:, None, :].expand_as(error.weight)
    kept = None
    if error.kept is not None:
        kept = _columns_first(error.kept.gather(2, in_order))
    values = error.start.clone()
    _round_with_factor_(values, error.factor.upper, levels, kept, size=size)
    result = torch.empty_like(error.weight)
    return result.scatter_(2, in_order, values.mT)


def _row_work(kept: Tensor) -> float:
    return float(kept.sum(2).double().pow(3).sum())


def _round_rows(error: OutputError, levels: RoundingLevels, kept: Tensor) -> Tensor:
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
    error: OutputError, levels: RoundingLevels, kept: Tensor, rows: Tensor, longest: int
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
    factor = Factor.of(quadratic + torch.diag_embed((~is_kept).double()))
    linear = error.linear.flatten(0, 1)[rows].gather(1, columns) * is_kept
    values = factor.start(linear[:, :, None])
    _round_with_factor_(values, factor.upper, levels, is_kept[:, :, None], rows[:, None])
    result = torch.zeros((len(rows), kept.shape[2]), dtype=values.dtype, device=values.device)
    return result.scatter_(1, columns, values[:, :, 0])
