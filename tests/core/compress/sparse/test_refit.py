"""Kept weights fitted again, against a least-squares solver on the inputs themselves."""

import numpy as np
import pytest
import torch

from core.compress.compensation.moments import InputMoments, MomentSums
from core.compress.compensation.output_error import OutputError
from core.compress.sparse.refit import refit


def moments(inputs, outputs):
    """inputs: (samples, n). outputs: (samples, R)."""
    sums = MomentSums()
    sums.add(inputs.T[None], outputs.T[None])
    return sums.moments()


def case(columns, rows=3, samples=60, seed=0):
    """Correlated inputs, a weight, and outputs that it does not give exactly."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(samples, columns, generator=generator)
    inputs += 0.8 * inputs.roll(1, 1) + 0.5
    weight = torch.randn(rows, columns, generator=generator)
    outputs = inputs @ weight.T + 0.3 * torch.randn(samples, rows, generator=generator)
    return inputs, weight, outputs


def test_two_columns_by_hand():
    """A = [[2, 1], [1, 2]] and b = [3, 3] have w = [1, 1]; with one column it is 3 / 2."""
    quadratic = torch.tensor([[[2.0, 1.0], [1.0, 2.0]]], dtype=torch.float64)
    linear = torch.full((1, 3, 2), 3.0, dtype=torch.float64)
    kept = torch.tensor([[[True, True], [True, False], [False, False]]])
    start = torch.zeros(1, 3, 2, dtype=torch.float64)
    fitted = refit(OutputError(quadratic, linear, start), kept, start)
    expected = torch.tensor([[[1.0, 1.0], [1.5, 0.0], [0.0, 0.0]]], dtype=torch.float64)
    torch.testing.assert_close(fitted, expected)


@pytest.mark.parametrize("columns", [2, 3, 4, 20])
@pytest.mark.parametrize("ridge", [0.02, 0.5])
def test_each_row_is_the_least_squares_solution_on_its_kept_columns(columns, ridge):
    inputs, weight, outputs = case(columns)
    measured = moments(inputs, outputs)
    kept = torch.rand(1, 3, columns, generator=torch.Generator().manual_seed(1)) < 0.6
    grouped = weight.double()[None]
    fitted = refit(measured.objective(grouped, ridge), kept, grouped)
    assert not bool(fitted[~kept].any())
    # The ridge, as one more sample for each weight that should stay where it is.
    cost = ridge * inputs.square().mean(0).mean() * len(inputs)
    design = np.vstack([inputs.numpy(), float(cost) ** 0.5 * np.eye(columns)])
    for row in range(3):
        target = np.append(outputs[:, row].numpy(), float(cost) ** 0.5 * weight[row].numpy())
        columns_kept = kept[0, row].numpy()
        expected = np.linalg.lstsq(design[:, columns_kept], target, rcond=None)[0]
        np.testing.assert_allclose(fitted[0, row, columns_kept], expected, rtol=1e-4, atol=1e-5)


def test_groups_are_fitted_by_themselves():
    measured = [moments(*case(4, seed=seed)[::2]) for seed in (1, 2)]
    weights = [case(4, seed=seed)[1].double()[None] for seed in (1, 2)]
    both = InputMoments(
        torch.cat([one.own for one in measured]),
        torch.cat([one.crossed for one in measured]),
        sum(one.output_square for one in measured),
        60,
    )
    kept = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(3)) < 0.7
    together = refit(both.objective(torch.cat(weights), 0.1), kept, torch.cat(weights))
    for group in range(2):
        error = measured[group].objective(weights[group], 0.1)
        alone = refit(error, kept[group : group + 1], weights[group])
        torch.testing.assert_close(together[group : group + 1], alone)


def test_the_start_does_not_matter():
    inputs, weight, outputs = case(20)
    grouped = weight.double()[None]
    error = moments(inputs, outputs).objective(grouped, 0.02)
    kept = grouped > 0
    torch.testing.assert_close(
        refit(error, kept, grouped), refit(error, kept, torch.full_like(grouped, 7.0))
    )
