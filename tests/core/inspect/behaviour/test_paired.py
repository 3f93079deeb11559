"""McNemar's test and the interval of a paired difference, by hand and against published figures."""

import math

import pytest

from core.inspect.behaviour.paired import (
    PairedCounts,
    describe_loss,
    least_shown,
    lost_interval,
    most_lost,
    points_lost,
)


def test_accuracies_by_hand():
    counts = PairedCounts(both_right=5, broken=3, fixed=1, both_wrong=1)
    assert counts.images == 10
    assert (counts.first_accuracy, counts.second_accuracy) == (0.8, 0.6)
    assert counts.difference == pytest.approx(-0.2)


def test_the_intervals_are_wilsons():
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3: 81 and 15 of 263 and 148.
    first = PairedCounts(both_right=80, broken=1, fixed=0, both_wrong=182)
    assert first.first_interval == pytest.approx((0.2553, 0.3662), abs=1e-4)
    second = PairedCounts(both_right=10, broken=3, fixed=5, both_wrong=130)
    assert second.second_interval == pytest.approx((0.0624, 0.1605), abs=1e-4)


@pytest.mark.parametrize(
    ("broken", "fixed", "p_value"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (4, 4, 1.0),
        (3, 0, 2 / 2**3),
        (0, 5, 2 / 2**5),
        (1, 7, 2 * (1 + 8) / 2**8),
        (8, 2, 2 * (1 + 10 + 45) / 2**10),
    ],
)
def test_mcnemar_by_hand(broken, fixed, p_value):
    counts = PairedCounts(100, broken, fixed, 10)
    assert counts.p_value == pytest.approx(p_value)


def test_the_interval_of_the_difference_is_the_published_one():
    # Cavo et al. (2012), in Fagerland, Lydersen and Laake, Statistical Analysis of Contingency
    # Tables (2017), chapter 8: -0.0621 (-0.1182 to -0.0045).
    counts = PairedCounts(both_right=59, broken=16, fixed=6, both_wrong=80)
    assert counts.difference == pytest.approx(-0.0621, abs=5e-5)
    assert counts.difference_interval == pytest.approx((-0.1182, -0.0045), abs=1e-4)


def test_the_interval_of_the_difference_by_hand():
    # 4 images and 2 added ones: (3 + 0.5 - 0.5) / 6 = 0.5, and sqrt(4 - 9 / 6) / 6 = 0.2635.
    counts = PairedCounts(both_right=1, broken=0, fixed=3, both_wrong=0)
    assert counts.difference_interval == pytest.approx((0.5 - 1.96 * 0.26352, 1.0), abs=1e-4)


def test_the_interval_stays_within_its_range_and_is_not_empty_without_a_change():
    for counts in (PairedCounts(0, 1, 0, 0), PairedCounts(0, 0, 1, 0), PairedCounts(9, 0, 0, 0)):
        low, high = counts.difference_interval
        assert -1 <= low < high <= 1


def test_swapping_the_models_turns_the_difference_around():
    there = PairedCounts(50, 9, 4, 7)
    back = PairedCounts(50, 4, 9, 7)
    low, high = there.difference_interval
    assert back.difference_interval == pytest.approx((-high, -low))
    assert back.p_value == there.p_value
    assert back.first_interval == there.second_interval


@pytest.mark.parametrize("counts", [(0, 0, 0, 0), (3, -1, 0, 0)])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(ValueError, match="counts must be"):
        PairedCounts(*counts)


def test_a_loss_in_points_and_its_interval():
    counts = PairedCounts(both_right=4, broken=2, fixed=1, both_wrong=3)
    assert points_lost(counts) == pytest.approx(10)
    assert describe_loss(counts).startswith("10.00 points (95% interval -")
    middle = 100 / 12  # of 1 in 12, as half an image is added to each count
    width = 100 * 1.96 * math.sqrt(4 - 1 / 12) / 12
    assert lost_interval(counts) == pytest.approx((middle - width, middle + width))
    assert most_lost(counts) == lost_interval(counts)[1]


def test_few_images_cannot_show_a_small_loss():
    assert least_shown(180) == pytest.approx(100 * 1.96 / 182)
    assert least_shown(5000) < 0.05
