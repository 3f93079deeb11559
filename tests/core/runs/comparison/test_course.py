"""The ends of a training's epochs: in epochs, in optimizer steps and in minutes."""

import math

import pytest
import torch

from core.config import ImportRecipe, KMeansRecipe, TrainRecipe
from core.runs.comparison.course import course_of
from core.training.epoch import in_batches


def epochs(images, count=2):
    """The ends of epochs of so many images, which take 30 seconds, 24 of them for training."""
    row = {"images_per_second": images / 24, "train_seconds": 24.0, "seconds": 30.0}
    return [row | {"epoch": number} for number in range(1, count + 1)]


def test_epochs_and_minutes():
    assert course_of(TrainRecipe(), epochs(100), "epoch") == [1, 2]
    assert course_of(TrainRecipe(), epochs(100), "time") == [0.5, 1]


@pytest.mark.parametrize("images", [31, 32, 34, 64, 65, 66, 1437, 50_000])
@pytest.mark.parametrize("recipe", [TrainRecipe(batch_size=32), KMeansRecipe(batch_size=32)])
def test_the_steps_are_those_that_a_training_takes(images, recipe):
    batches = in_batches(torch.arange(images), 32)
    trained = sum(map(len, batches))  # a last batch of one image is not trained on
    assert course_of(recipe, epochs(trained), "step") == [len(batches), 2 * len(batches)]


def test_steps_that_are_not_known():
    imported = ImportRecipe(file="a", model="b", dataset="c", mean=(0, 0, 0), std=(1, 1, 1))
    assert math.isnan(course_of(imported, epochs(10, 1), "step")[0])
    for images in (0, math.inf, math.nan):
        assert math.isnan(course_of(TrainRecipe(), epochs(images, 1), "step")[0])
