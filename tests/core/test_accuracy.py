"""Wilson's interval against published figures, and when a network is no better than guessing."""

import pytest

from core.accuracy import guessing_text, interval_text, is_guessing, wilson_interval


@pytest.mark.parametrize(
    ("correct", "images", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_that_of_the_textbook(correct, images, low, high):
    assert wilson_interval(correct / images, images) == pytest.approx((low, high), abs=1e-4)


def test_the_interval_stays_within_0_and_1():
    assert wilson_interval(1.0, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson_interval(1.0, 10)[1] <= 1.0


@pytest.mark.parametrize(
    ("accuracy", "images", "classes", "guess"),
    [
        (0.1, 10_000, 10, True),
        (0.105, 10_000, 10, True),
        (0.107, 10_000, 10, False),
        (0.23, 10_000, 10, False),
        (0.13, 360, 10, True),
        (0.15, 360, 10, False),
        (0.01, 10_000, 100, True),
        (0.05, 10_000, 10, True),
        (0.55, 40, 2, True),
    ],
)
def test_guessing_is_what_the_interval_does_not_exclude(accuracy, images, classes, guess):
    assert is_guessing(accuracy, images, classes) is guess


def test_the_words():
    assert interval_text(0.6561, 10_000) == "64.7 to 66.5"
    assert guessing_text(10) == "no better than guessing (10% for 10 classes)"
    assert guessing_text(3) == "no better than guessing (33.3% for 3 classes)"
