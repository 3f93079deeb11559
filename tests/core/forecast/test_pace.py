"""The measured training speed, and the time of an epoch that follows from it."""

import pytest

from core import data
from core.config import TrainRecipe
from core.events import Progress
from core.forecast.pace import measure_pace
from tests.core.forecast.test_pruning import result

RECIPE = TrainRecipe(model="LeNet5", dataset="Digits", epochs=1, batch_size=32)


def test_the_pace_makes_the_time(digits):
    dataset = data.load("Digits", digits)
    pace, events = result(measure_pace(RECIPE, dataset))
    assert all(isinstance(event, Progress) for event in events)
    assert pace.images_per_second > 0
    assert pace.epoch_seconds == pytest.approx((1437 + 360 / 3) / pace.images_per_second)


def test_no_time_means_no_whole_step(digits):
    pace, events = result(
        measure_pace(RECIPE.model_copy(update={"batch_size": 1024}), data.load("Digits", digits), 0)
    )
    assert len(events) == 1
    assert pace.images_per_second > 0
