"""Holds training images back, to choose by them what is best.

They are never trained on, scored on or calibrated on, so that what chooses has not been learnt, and
the test images only report.
"""

from dataclasses import dataclass

import torch

from core.config import CompressRecipe, TrainRecipe
from core.data import Dataset, check_validation
from core.data.batches import DeviceImages
from core.data.imageset import Rows, hold_back
from core.models.card import ModelCard

MOST_TUNING_IMAGES = 1000  # that tuning holds back, if its parent held none back
_TUNING_SHARE = 0.1  # of the training images, which is the most that it holds back


@dataclass(frozen=True, eq=False)
class TrainingSplit:
    """The division of a data set's training images.

    training: rows of the images to train, score and calibrate on. held_back: rows of the images to
    choose by; there may be none.
    """

    training: Rows
    held_back: Rows


def split_of_recipe(recipe: TrainRecipe | CompressRecipe, dataset: Dataset) -> TrainingSplit:
    """Return the split of a recipe. A tuning by itself holds nothing back.

    Raises UserError if the recipe holds back too many images.
    """
    validation = recipe.validation if isinstance(recipe, TrainRecipe) else 0
    return _split(dataset, validation, recipe.seed)


def split_of_card(card: ModelCard, dataset: Dataset) -> TrainingSplit:
    """Return the split with which the network of a card was trained.

    Raises UserError if the data set has fewer images than were held back.
    """
    validation, seed = _validation_of(card)
    return _split(dataset, validation, seed)


def count_held_back(card: ModelCard) -> int:
    """Return how many training images the training of a card's network held back."""
    validation, _ = _validation_of(card)
    return validation


def split_for_compression(
    card: ModelCard, recipe: CompressRecipe, dataset: Dataset
) -> TrainingSplit:
    """Return the split for quantizing or pruning the network of a card.

    It holds back what the network's training held back. If that is nothing, a recipe that tunes
    holds back a tenth of the training images, at most 1,000. Raises UserError if the data set has
    fewer images than were held back.
    """
    split = split_of_card(card, dataset)
    if len(split.held_back) or not recipe.epochs:
        return split
    tuning_images = min(MOST_TUNING_IMAGES, int(_TUNING_SHARE * len(dataset.train)))
    return _split(dataset, tuning_images, recipe.seed)


def images_at(rows: Rows, dataset: Dataset, device: torch.device) -> DeviceImages:
    """Return these of the data set's training images, on the device."""
    is_whole = len(rows) == len(dataset.train)
    return DeviceImages(
        dataset.train,
        dataset.mean,
        dataset.std,
        device,
        torch.channels_last,
        None if is_whole else rows,
    )


def _validation_of(card: ModelCard) -> tuple[int, int]:
    """Return the number of images that the training held back, and the seed that chose them."""
    for recipe in card.recipes:
        validation = recipe.get("validation")
        if isinstance(validation, int) and validation:
            return validation, int(recipe.get("seed", 0))
    return 0, 0


def _split(dataset: Dataset, n: int, seed: int) -> TrainingSplit:
    check_validation(n, len(dataset.train))
    return TrainingSplit(*hold_back(dataset.train.labels, n, seed))
