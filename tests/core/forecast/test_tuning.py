"""The time of tuning, and how much tuning fits into a time."""

import pytest

from core.forecast.tuning import TuningAmount, affordable_tuning, tuning_seconds


def test_tuning_takes_four_passes_of_which_training_measured_three():
    assert tuning_seconds(900, 1e6, training_speed=100, cores=2) == pytest.approx(900 / 100 * 4 / 3)
    assert tuning_seconds(900, 1e9, training_speed=None, cores=2) == pytest.approx(900 * 4e9 / 30e9)
    assert tuning_seconds(0, 1e9, None, 2) == 0


@pytest.mark.parametrize(
    ("seconds_per_image", "amount"),
    [
        (1e-4, TuningAmount(3, None)),
        (1.1e-3, TuningAmount(2, None)),
        (2e-3, TuningAmount(1, None)),
        (1e-2, TuningAmount(1, 12_000)),
        (1.0, TuningAmount(1, 500)),
    ],
)
def test_tuning_fits_into_two_minutes_if_500_images_do(seconds_per_image, amount):
    assert affordable_tuning(50_000, seconds_per_image, 120) == amount
    images = amount.epochs * (amount.train_images or 50_000)
    assert images * seconds_per_image <= 120 or amount.train_images == 500


def test_a_small_data_set_has_no_more_images_than_it_has():
    assert affordable_tuning(300, 10.0, 120) == TuningAmount(1, 300)
