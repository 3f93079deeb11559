"""The images of a compression. What it learns from never chooses, and test images only report.

Rounding, pruning, BatchNorm and tuning learn from training images. Held-back images choose the
start of the clustering, the blend of BatchNorm's statistics and the epoch. If there are none, other
training images choose the first two.
"""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from core.config import CompressRecipe, PruneRecipe
from core.data import Dataset
from core.data.batches import DeviceImages, epoch_plan
from core.data.imageset import Rows, subset_rows
from core.models.card import ModelCard
from core.training import setup
from core.training.held_back import TrainingSplit, images_at

CALIBRATION_IMAGES = 2_500  # training images on which BatchNorm's statistics are re-estimated
_CALIBRATION_BATCH = 250
_LEARNING_BATCH = 128
_MOST_CHOOSING_IMAGES = 1_000
_FEWEST_CHOOSING_IMAGES = 100
_CHOOSING_SHARE = 0.2  # of the training images, if fewer than these are left over


class CompressionImages:
    """The images for one recipe and the network that it compresses.

    dataset: with the network's normalisation. split: says which training images are held back.
    augment: whether the network was trained on crops and flips.
    """

    def __init__(
        self,
        recipe: CompressRecipe,
        card: ModelCard,
        dataset: Dataset,
        split: TrainingSplit,
        device: torch.device,
    ):
        """card: that of the network."""
        self.recipe = recipe
        self.dataset = dataset
        self.split = split
        self.augment = trained_with_augmentation(card, dataset)
        self._device = device

    @cached_property
    def test(self) -> DeviceImages:
        """The test images, which only report."""
        return setup.test_images(self.dataset, self._device)

    @cached_property
    def held_back(self) -> DeviceImages:
        """The training images that are held back; there may be none."""
        return images_at(self.split.held_back, self.dataset, self._device)

    def tuning(self) -> DeviceImages:
        """Return the training images to tune on."""
        return setup.training_images(self.recipe, self.dataset, self._device, self.split)

    def learning_batches(self) -> list[Tensor]:
        """Return training images for compensated rounding or pruning as they are, normalised."""
        images = self.learning()
        return [
            images.batch(slice(start, start + _LEARNING_BATCH))[0]
            for start in range(0, len(images), _LEARNING_BATCH)
        ]

    def learning(self) -> DeviceImages:
        """Return the training images from which rounding or pruning learns."""
        rows = self._some(self._divided.training, self._learning_count)
        return images_at(rows, self.dataset, self._device)

    @property
    def _learning_count(self) -> int:
        if isinstance(self.recipe, PruneRecipe):
            return self.recipe.images
        return self.recipe.round_images

    def choosing(self) -> DeviceImages:
        """Return training images to choose by.

        They are the held-back ones if there are any, and otherwise neither rounded nor calibrated
        on.
        """
        rows = self._some(self._divided.held_back, _MOST_CHOOSING_IMAGES)
        return images_at(rows, self.dataset, self._device)

    def calibration_batches(self) -> Iterator[Tensor]:
        """Yield training images for BatchNorm's statistics, in batches of one size.

        They are augmented as in training, because BatchNorm's statistics are those of augmented
        images: the black borders of random crops move its means. With plain images ResNet20 on
        CIFAR-10 loses 3 to 5 points more, even before it is quantized.
        """
        rows = self._some(self._divided.training, CALIBRATION_IMAGES)
        images = images_at(rows, self.dataset, self._device)
        order, augmentation = epoch_plan(len(images), self.recipe.seed, 0, self.augment)
        size = min(_CALIBRATION_BATCH, len(images))
        in_whole_batches = len(order) // size * size
        for indices in order[:in_whole_batches].view(-1, size):
            batch, _ = images.batch(indices, augmentation)
            yield batch

    @cached_property
    def _divided(self) -> TrainingSplit:
        """The training images to learn from before tuning, and those to choose by.

        Without held-back images, those choose that are left over. A small data set sets some aside.
        """
        training = self.split.training
        if len(self.split.held_back):
            return self.split
        used = self._some(training, max(CALIBRATION_IMAGES, self._learning_count))
        left_over = np.setdiff1d(training, used)
        if len(left_over) >= _FEWEST_CHOOSING_IMAGES:
            return TrainingSplit(training, left_over)
        choosing = self._some(training, max(1, int(_CHOOSING_SHARE * len(training))))
        learning = np.setdiff1d(training, choosing)
        if len(learning) < 2:  # BatchNorm cannot learn from one image
            return TrainingSplit(training, training)
        return TrainingSplit(learning, choosing)

    def _some(self, rows: Rows, count: int) -> Rows:
        """Return so many of these rows, the same ones for a seed, evenly over the classes."""
        labels = self.dataset.train.labels[rows]
        return rows[subset_rows(labels, count, self.recipe.seed)]


def trained_with_augmentation(card: ModelCard, dataset: Dataset) -> bool:
    """Return whether the network was trained on crops and flips.

    The first recipe of the card that sets `augment` decides, or else the data set.
    """
    for recipe in card.recipes:
        augment = recipe.get("augment")
        if augment is not None:
            return bool(augment)
    return dataset.augment
