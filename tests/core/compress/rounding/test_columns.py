"""Rounding column by column, against the best of all assignments and against the paper's text."""

import itertools

import pytest
import torch

from core.compress.compensation import output_error
from core.compress.compensation.output_error import Factor, OutputError
from core.compress.rounding import columns as rounding
from core.compress.rounding.columns import descend, round_columns
from core.compress.rounding.levels import CentroidLevels, GridLevels

THREE = CentroidLevels(torch.tensor([-1.0, -0.1, 0.9]))


def random_error(seed, rows=1, columns=4, groups=1, density=1.0):
    """The error of a layer with correlated inputs, which differ a little from the float ones."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    references = normal(groups, columns, columns) @ normal(groups, columns, 3 * columns)
    inputs = references + 0.1 * normal(groups, columns, 3 * columns)
    quadratic = inputs @ inputs.mT / (3 * columns)
    quadratic += 0.1 * quadratic.diagonal(0, 1, 2).mean() * torch.eye(columns, dtype=torch.float64)
    crossed = references @ inputs.mT / (3 * columns)
    weight = normal(groups, rows, columns)
    kept = None
    if density < 1:
        kept = torch.rand(groups, rows, columns, generator=generator) < density
        weight = weight * kept
    return OutputError(quadratic, weight @ crossed, weight, kept)


def grid(rows):
    """A grid with another scale and zero point in every row."""
    scale = torch.linspace(0.3, 0.6, rows, dtype=torch.float64)
    zero_point = torch.arange(rows).remainder(4).double()
    return GridLevels(scale, zero_point, 0, 7)


def textbook(error, levels):
    """Algorithm 1 of the paper for one row at a time, with the inverse of what is not rounded yet.

    Pruned columns are left out of the problem.
    """
    result = torch.zeros_like(error.weight)
    groups, rows, _ = result.shape
    for group, row in itertools.product(range(groups), range(rows)):
        number = torch.tensor([group * rows + row])
        kept = torch.ones(result.shape[2], dtype=torch.bool)
        if error.kept is not None:
            kept = error.kept[group, row]
        if not kept.any():
            continue
        matrix = error.quadratic[group][kept][:, kept]
        values = torch.linalg.solve(matrix, error.linear[group, row, kept])
        inverse = torch.linalg.inv(matrix)
        rounded = torch.zeros_like(values)
        for column in torch.argsort(matrix.diagonal(), descending=True, stable=True).tolist():
            rounded[column] = levels.nearest(values[column : column + 1], number)[0]
            scaled = (values[column] - rounded[column]) / inverse[column, column]
            values = values - scaled * inverse[column]
            outer = torch.outer(inverse[:, column], inverse[column])
            inverse = inverse - outer / inverse[column, column]
        result[group, row, kept] = rounded
    return result


def row_errors(error, rounded):
    return ((rounded @ error.quadratic - 2 * error.linear) * rounded).sum(2)


def nearest_of(error, levels):
    rows = torch.arange(error.weight.shape[0] * error.weight.shape[1])
    by_row = error.weight.flatten(0, 1)
    rounded = levels.nearest(by_row, rows[:, None].expand_as(by_row)).view_as(error.weight)
    return rounded if error.kept is None else rounded * error.kept


def test_a_row_by_hand():
    """Both weights are 0.4, and the levels are integers.

    The first one is rounded down by 0.4, which the second one makes up for by half: 0.6 becomes 1.
    """
    quadratic = torch.tensor([[[2.0, 1.0], [1.0, 2.0]]], dtype=torch.float64)
    weight = torch.tensor([[[0.4, 0.4]]], dtype=torch.float64)
    error = OutputError(quadratic, weight @ quadratic, weight)
    levels = CentroidLevels(torch.tensor([0.0, 1.0]))
    rounded = round_columns(error, levels)
    assert rounded.tolist() == [[[0, 1]]]
    constant = float((weight @ quadratic * weight).sum())
    assert error.of(nearest_of(error, levels)) + constant == pytest.approx(0.96)
    assert error.of(rounded) + constant == pytest.approx(0.56)
    assert torch.equal(descend(error, rounded, levels), rounded)


def test_between_the_best_of_all_assignments_and_nearest():
    every_row = list(itertools.product(THREE.centroids.tolist(), repeat=4))
    assignments = torch.tensor(every_row, dtype=torch.float64)[None]
    sums = torch.zeros(4, dtype=torch.float64)
    for seed in range(100):
        error = random_error(seed)
        best = row_errors(error, assignments).min()
        rounded = round_columns(error, THREE)
        descended = descend(error, rounded, THREE)
        constant = (error.weight @ error.quadratic * error.weight).sum()
        tolerance = 1e-9 * float(constant)
        assert error.of(descended) >= best - tolerance
        assert error.of(descended) <= error.of(rounded) + tolerance
        figures = [float(best), error.of(descended), error.of(rounded)]
        figures.append(error.of(nearest_of(error, THREE)))
        sums += (torch.tensor(figures, dtype=torch.float64) - best) / constant
    assert sums[0] <= sums[1] <= sums[2] < sums[3]
    assert sums[1] < 0.25 * sums[3]


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("block", [1, 3, 128])
@pytest.mark.parametrize("has_grid", [False, True])
def test_blocks_are_the_paper_column_by_column(groups, block, has_grid):
    error = random_error(groups, rows=5, columns=17, groups=groups)
    levels = grid(5 * groups) if has_grid else THREE
    expected = textbook(error, levels)
    rounded = round_columns(error, levels, block)
    torch.testing.assert_close(rounded, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("density", [0.05, 0.3, 0.9])
@pytest.mark.parametrize("has_grid", [False, True])
@pytest.mark.parametrize("most_bytes", [1, 8 * 4 * 17**2, 2**28])
def test_pruned_rows_are_the_paper_on_their_kept_columns(
    density, has_grid, most_bytes, monkeypatch
):
    monkeypatch.setattr(rounding, "_MOST_BYTES", most_bytes)
    error = random_error(7, rows=5, columns=17, groups=3, density=density)
    levels = grid(15) if has_grid else THREE
    rounded = round_columns(error, levels)
    torch.testing.assert_close(rounded, textbook(error, levels), rtol=0, atol=1e-10)
    assert_pruned_stay(error, rounded)
    assert_pruned_stay(error, descend(error, rounded, levels))


def assert_pruned_stay(error, rounded):
    """Pruned weights are 0 and not -0."""
    pruned = rounded[~error.kept]
    assert bool((pruned == 0).all())
    assert not bool(pruned.signbit().any())


@pytest.mark.parametrize("block", [1, 3, 128])
def test_pruned_rows_without_factors_of_their_own(block, monkeypatch):
    """They begin with the best weight without pruning, and are rounded to 0."""
    monkeypatch.setattr(rounding, "_MOST_ROW_WORK", 0)
    error = random_error(3, rows=5, columns=17, groups=2, density=0.4)
    expected = torch.zeros_like(error.weight)
    for group in range(2):
        inverse = torch.linalg.inv(error.quadratic[group])
        values = error.linear[group] @ inverse
        kept = error.kept[group]
        diagonal = error.quadratic[group].diagonal()
        for column in torch.argsort(diagonal, descending=True, stable=True).tolist():
            level = THREE.nearest(values[:, column]).masked_fill(~kept[:, column], 0.0)
            scaled = (values[:, column] - level) / inverse[column, column]
            values = values - scaled[:, None] * inverse[column]
            inverse = inverse - (
                torch.outer(inverse[:, column], inverse[column]) / inverse[column, column]
            )
            expected[group, :, column] = level
    rounded = round_columns(error, THREE, block)
    torch.testing.assert_close(rounded, expected, rtol=0, atol=1e-10)
    assert_pruned_stay(error, rounded)


@pytest.mark.parametrize("density", [0.3, 1.0])
@pytest.mark.parametrize("start", ["nearest", "columns", "random"])
def test_descend_never_raises_the_error_of_a_row(start, density, monkeypatch):
    monkeypatch.setattr(rounding, "BLOCK", 5)
    for seed in range(20):
        error = random_error(seed, rows=6, columns=17, groups=2, density=density)
        levels = grid(12)
        rounded = nearest_of(error, levels)
        if start == "columns":
            rounded = round_columns(error, levels)
        if start == "random":
            rounded = nearest_of(
                OutputError(error.quadratic, error.linear, -3 * error.weight, error.kept), levels
            )
        before = rounded.clone()
        errors = [row_errors(error, descend(error, rounded, levels, sweeps)) for sweeps in range(6)]
        assert torch.equal(rounded, before)
        assert torch.equal(errors[0], row_errors(error, rounded))
        for previous, following in itertools.pairwise(errors):
            assert bool((following <= previous + 1e-9 * previous.abs()).all())


def test_descend_ends_where_no_single_weight_can_move():
    error = random_error(1, rows=4, columns=9)
    levels = grid(4)
    result = descend(error, nearest_of(error, levels), levels, sweeps=100)
    least = row_errors(error, result)
    for row, column, integer in itertools.product(range(4), range(9), range(8)):
        moved = result.clone()
        moved[0, row, column] = (integer - levels.zero_point[row]) * levels.scale[row]
        assert row_errors(error, moved)[0, row] >= least[0, row] - 1e-9 * least.abs().max()


@pytest.mark.parametrize("panel", [1, 7, 512])
def test_the_error_of_all_rows_is_the_sum_of_theirs(panel, monkeypatch):
    monkeypatch.setattr(output_error, "_PANEL", panel)
    error = random_error(2, rows=3, columns=17, groups=2)
    rounded = nearest_of(error, THREE)
    assert error.of(rounded) == pytest.approx(float(row_errors(error, rounded).sum()))


def test_the_factor():
    quadratic = random_error(0, columns=9, groups=2).quadratic
    factor = Factor.of(quadratic)
    assert torch.equal(factor.upper, factor.upper.triu())
    assert bool((factor.upper.diagonal(0, 1, 2) == 1).all())
    product = factor.upper @ torch.diag_embed(factor.pivots) @ factor.upper.mT
    torch.testing.assert_close(product, quadratic)
