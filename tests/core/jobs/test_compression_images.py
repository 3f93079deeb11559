"""The images that a quantization learns from, apart from those that it chooses by."""

import numpy as np
import pytest
import torch

from core.config import KMeansRecipe
from core.data import Dataset, ImageSet
from core.data.batches import DeviceImages
from core.jobs.compression_images import CompressionImages
from core.models.card import ModelCard
from core.training.held_back import TrainingSplit

CLASSES = ("a", "b")


def images_of(total, held_back=0, round_images=1024):
    """Images of one pixel value each, which is the number of their row."""
    values = np.arange(total, dtype=np.uint16)
    pixels = np.zeros((total, 3, 8, 8), np.uint8)
    pixels[:, 0, 0, 0] = values % 256
    pixels[:, 1, 0, 0] = values // 256
    both = ImageSet(pixels, np.arange(total) % 2)
    dataset = Dataset("Toy", both, both, CLASSES, (0.0,) * 3, (1.0,) * 3, False)
    card = ModelCard(
        model="LeNet5",
        dataset="Toy",
        classes=CLASSES,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        side=8,
        recipes=(),
    )
    rows = np.arange(total)
    split = TrainingSplit(rows[held_back:], rows[:held_back])
    recipe = KMeansRecipe(round_images=round_images)
    return CompressionImages(recipe, card, dataset, split, torch.device("cpu"))


def rows_of(images):
    if isinstance(images, DeviceImages):
        images = [images.batch(slice(0, len(images)))[0]]
    pixels = (torch.cat(list(images)) * 255).round().long()
    return set((pixels[:, 0, 0, 0] + 256 * pixels[:, 1, 0, 0]).tolist())


@pytest.mark.parametrize("total", [10, 300, 2_550, 4_000])
@pytest.mark.parametrize("held_back", [0, 4])
def test_no_image_is_learnt_from_and_chosen_by(total, held_back):
    images = images_of(total, held_back)
    rounding = rows_of(images.learning_batches())
    calibrating = rows_of(images.calibration_batches())
    choosing = rows_of(images.choosing())
    assert not choosing & (rounding | calibrating)
    if held_back:
        assert choosing == set(range(held_back))
        assert len(rounding) == min(1024, total - held_back)
    else:
        assert len(choosing) == {10: 2, 300: 60, 2_550: 510, 4_000: 1_000}[total]
        assert len(rounding) == {10: 8, 300: 240, 2_550: 1024, 4_000: 1024}[total]


def test_two_images_have_to_do_everything():
    images = images_of(2)
    assert rows_of(images.choosing()) == rows_of(images.learning_batches()) == {0, 1}


def test_many_images_for_rounding_leave_others_to_choose_by():
    images = images_of(4_000, round_images=3_800)
    rounding = rows_of(images.learning_batches())
    assert len(rounding) == 3_800
    assert rows_of(images.choosing()) == set(range(4_000)) - rounding
