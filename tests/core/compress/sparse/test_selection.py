"""Masks of one layer, against the best ones by trying all."""

import itertools

import pytest
import torch

from core.compress.sparse.refit import refit
from core.compress.sparse.selection import keep_by_error, keep_largest
from tests.core.compress.sparse.test_refit import case, moments


def error_of(mask, error, weight):
    return error.of(refit(error, mask, weight))


def all_masks(weight, count):
    for places in itertools.combinations(range(weight.numel()), count):
        mask = torch.zeros(weight.numel(), dtype=torch.bool)
        mask[list(places)] = True
        yield mask.view(weight.shape)


def problem(columns, rows, seed):
    inputs, weight, outputs = case(columns, rows, seed=seed)
    grouped = weight.double()[None]
    return moments(inputs, outputs).objective(grouped, 0.02), grouped


def test_the_mask_is_nearly_the_best_of_all():
    """Best in most toys, and on the whole much closer to it than the largest weights are."""
    best_count = 0
    excess = 0.0
    excess_of_largest = 0.0
    for (columns, rows), seed in itertools.product([(2, 2), (3, 2), (4, 1), (4, 2)], range(8)):
        error, weight = problem(columns, rows, seed)
        count = weight.numel() // 2
        least = min(error_of(mask, error, weight) for mask in all_masks(weight, count))
        equal = torch.zeros_like(weight)
        chosen = error_of(keep_by_error(error, count, equal), error, weight)
        largest = error_of(keep_largest(weight.abs(), count, equal), error, weight)
        best_count += chosen <= least + 1e-9
        excess += chosen - least
        excess_of_largest += largest - least
    assert best_count >= 20
    assert excess < excess_of_largest / 2


@pytest.mark.parametrize("count", [0, 1, 17, 59, 60])
def test_exactly_so_many_are_kept(count):
    error, weight = problem(20, 3, 0)
    for tier in (torch.zeros_like(weight), weight > 0.5):
        for mask in (
            keep_by_error(error, count, tier),
            keep_largest(weight.abs(), count, tier),
        ):
            assert mask.dtype == torch.bool
            assert int(mask.sum()) == count


def test_weights_of_a_higher_tier_are_kept_before_all_others():
    saliency = torch.tensor([5.0, 1.0, 4.0, 1.0, 3.0])
    tier = torch.tensor([0, 2, 1, 2, 2])
    kept = [keep_largest(saliency, count, tier).int().tolist() for count in range(1, 5)]
    assert kept == [[0, 0, 0, 0, 1], [0, 1, 0, 0, 1], [0, 1, 0, 1, 1], [0, 1, 1, 1, 1]]
    error, weight = problem(20, 3, 0)
    is_higher = weight > 0.3
    few = int(is_higher.sum()) - 3
    assert bool(is_higher[keep_by_error(error, few, is_higher)].all())
    assert bool(keep_by_error(error, few + 8, is_higher)[is_higher].all())
