"""Distributions in bins: every count against a count by hand."""

import math

import numpy as np
import pytest

from core.errors import UserError
from core.inspect.weights.histogram import (
    SortedValues,
    count_into_bins,
    prepare_distributions,
    sort_finite,
    sorted_difference,
    summarise_weights,
    value_frequencies,
)

RANDOM = np.random.default_rng(0)
CASES = {
    "random": RANDOM.standard_normal(5000).astype(np.float32),
    "constant": np.full(300, 0.25, np.float32),
    "all zero": np.zeros((4, 5), np.float32),
    "one weight": np.array([-3.0], np.float32),
    "pruned": RANDOM.standard_normal(4000).astype(np.float32) * (RANDOM.random(4000) < 0.1),
    "shared": RANDOM.choice(np.array([-1.5, 0.0, 0.1, 2.0], np.float32), 3000),
    "negative zero": np.array([-0.0, 0.0, 1.0, -1.0] * 50, np.float32),
    "huge range": (
        np.concatenate([RANDOM.standard_normal(2000) * 1e-30, [3.4e38, -3.4e38]]).astype(np.float32)
    ),
    "close by": (1 + np.arange(3000) * 2.0**-23).astype(np.float32),
    "on the edges": RANDOM.integers(-1000, 1001, 6000).astype(np.float32) / 1000,
}


def counted(values, found):
    """How many of the values each mark should have, found one mark at a time."""
    flat, last = values.astype(np.float64).ravel(), found.high[-1]
    return [
        int(
            (flat == low).sum()
            if low == high
            else ((flat >= low) & ((flat < high) | (high == last) & (flat == high))).sum()
        )
        for low, high in zip(found.low, found.high, strict=True)
    ]


@pytest.mark.parametrize("most", [1, 7, 640])
@pytest.mark.parametrize("name", CASES)
def test_every_mark_counts_exactly(name, most):
    values = CASES[name]
    found = count_into_bins(
        sort_finite(values, name), (float(values.min()), float(values.max())), most
    )
    assert found.counts.sum() == values.size
    assert found.counts.min() > 0
    assert len(found.counts) <= max(most, 1)
    assert found.counts.tolist() == counted(values, found)
    assert (np.diff(found.low) > 0).all()


@pytest.mark.parametrize("name", CASES)
def test_a_few_distinct_values_are_exact(name):
    values, counts = np.unique(CASES[name], return_counts=True)
    found = count_into_bins(sort_finite(CASES[name], name), (0, 0), most=len(values))
    assert found.exact
    assert found.low.tolist() == values.astype(np.float64).tolist()
    assert found.counts.tolist() == counts.tolist()


@pytest.mark.parametrize("name", CASES)
def test_the_summary_agrees_with_numpy(name):
    values = CASES[name]
    found = summarise_weights(sort_finite(values, name))
    assert (found.count, found.zeros) == (values.size, int((values == 0).sum()))
    assert found.unique == len(np.unique(values))
    assert (found.low, found.high) == (values.min(), values.max())
    assert 0 <= found.bits_per_weight <= 32


def test_bits_are_those_of_a_codebook_a_mask_or_plain_floats():
    four = np.repeat(np.array([1, 2, 3, 4], np.float32), 256)
    assert summarise_weights(sort_finite(four, "")).bits_per_weight == pytest.approx(
        2 + 4 * 32 / 1024
    )  # two bits an index, four floats
    sparse = np.zeros(4096, np.float32)
    sparse[::4] = RANDOM.standard_normal(1024)
    mask = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    assert summarise_weights(sort_finite(sparse, "")).bits_per_weight == pytest.approx(
        mask + 32 / 4
    )
    assert summarise_weights(sort_finite(CASES["random"], "")).bits_per_weight == 32
    assert summarise_weights(sort_finite(CASES["all zero"], "")).bits_per_weight == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_by_name(bad):
    values = CASES["random"].copy()
    values[[3, 77]] = bad
    with pytest.raises(UserError, match=r"conv1\.weight holds 2 values"):
        sort_finite(values, "conv1.weight")
    with pytest.raises(UserError, match="no values"):
        sort_finite(np.empty(0, np.float32), "conv1.weight")


def test_two_distributions_share_their_bins_and_keep_zeros_apart():
    one, other = (sort_finite(CASES[name], name) for name in ("random", "pruned"))
    first, second = prepare_distributions([one, other], most=100, bins=50)
    assert not first.histogram.exact
    low, high = min(one.values[0], other.values[0]), max(one.values[-1], other.values[-1])
    edges = np.linspace(float(low), float(high), 51)
    for found in (first, second):
        assert set(found.histogram.low) <= set(edges[:-1])
        assert found.histogram.counts.sum() == found.summary.count - found.summary.zeros
        assert found.scatter.counts.sum() == found.summary.count - found.summary.zeros
    assert second.summary.zeros == (CASES["pruned"] == 0).sum()


def test_repeating_values_are_levels_and_others_are_binned():
    shared, few = (
        prepare_distributions([sort_finite(values, "")], most=100, bins=10)[0]
        for values in (CASES["shared"], CASES["random"][:60])
    )
    assert shared.histogram.low.tolist() == [-1.5, np.float32(0.1), 2.0]  # and 0 apart
    assert few.scatter.exact
    assert not few.histogram.exact
    assert len(few.histogram.counts) <= 10


@pytest.mark.parametrize("name", ["all zero", "constant", "one weight"])
def test_degenerate_distributions_can_be_drawn(name):
    (found,) = prepare_distributions([sort_finite(CASES[name], name)])
    assert found.histogram.exact
    assert found.histogram.counts.sum() == np.count_nonzero(CASES[name])


def test_differences_are_exact_and_do_not_overflow():
    one, other = CASES["random"], CASES["random"][::-1].copy()
    assert sorted_difference(one, other).values.tolist() == np.sort(other - one).tolist()
    far = sorted_difference(
        np.array([-3e38, 1.0], np.float32), np.array([3e38, 1.0], np.float32)
    ).values
    assert far.tolist() == [0.0, 2 * float(np.float32(3e38))]
    assert count_into_bins(SortedValues(far), (0.0, far[-1]), most=1).counts.tolist() == [2]


def test_frequencies_take_values_in_any_order():
    points, counts, how = value_frequencies(np.array([[2, 1], [1, 5]], np.float32), (1, 5))
    assert (points.tolist(), counts.tolist(), how) == ([1, 2, 5], [2, 1, 1], "3 different")
