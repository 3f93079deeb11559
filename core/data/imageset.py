"""Sets of images with labels, and the data set that a network is trained and tested on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.config import PerChannel
from core.errors import UserError

# Makes the random order of held-back images another one than that of a subset.
_HELD_BACK = 1

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]
Rows = NDArray[np.int64]
"""Positions of images in a set, ascending."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images and their labels.

    images: uint8 (N, 3, H, W), RGB in [0, 255], usually memory-mapped and read-only.
    labels: int64 (N,), indices into the class names.
    """

    images: Pixels
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set: training and test images, and the facts that a training needs.

    classes: names of the labels 0, 1, ...
    mean, std: of the red, green and blue values of the training images, for pixels in [0, 1].
    augment: whether random crops and flips suit the images. They would turn one digit into another.
    """

    name: str
    train: ImageSet
    test: ImageSet
    classes: tuple[str, ...]
    mean: PerChannel
    std: PerChannel
    augment: bool

    @property
    def side(self) -> int:
        """Height and width of the images in pixels."""
        side: int = self.train.images.shape[-1]
        return side


def subset(images: ImageSet, n: int, seed: int) -> ImageSet:
    """Return `n` random images, with equally many of each class as far as there are enough.

    The same seed gives the same images, in their order in `images`, and a smaller subset lies
    within a larger one. Returns `images` itself if it has no more than `n`; otherwise the chosen
    images are copied. Raises ValueError if `n` is less than 1.
    """
    rows = subset_rows(images.labels, n, seed)
    if len(rows) == len(images):
        return images
    return ImageSet(images.images[rows], images.labels[rows])


def subset_rows(labels: Labels, n: int, seed: int) -> Rows:
    """Return the rows of the images that `subset` chooses from a set with these labels."""
    if n < 1:
        raise ValueError(f"a subset takes at least 1 image, got {n}")
    if n >= len(labels):
        return np.arange(len(labels))
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    # The first image of every class is chosen before the second image of any class.
    turns, _ = _turns(labels, shuffled)
    by_turn = shuffled[np.argsort(turns[shuffled], kind="stable")]
    return np.sort(by_turn[:n])


def check_validation(validation: int, train_images: int, name: str = "validation") -> None:
    """Raise UserError, by `name`, unless at least two of the training images are left to train on.

    A BatchNorm cannot learn from one image.
    """
    most = max(0, train_images - 2)
    if validation > most:
        raise UserError(
            f"{name} must be in [0, {most}], which leaves 2 of the {train_images:,} training images"
            f" to train on, got {validation}"
        )


def hold_back(labels: Labels, n: int, seed: int) -> tuple[Rows, Rows]:
    """Return the rows of the images to train on, and those of `n` images that are held back.

    They are random, the same ones for the same seed, and have as large a share of each class as the
    whole set. Raises ValueError unless 0 <= n < len(labels).
    """
    if not 0 <= n < len(labels):
        raise ValueError(f"{len(labels)} images cannot spare {n}")
    shuffled = np.random.default_rng([seed, _HELD_BACK]).permutation(len(labels))
    turns, sizes = _turns(labels, shuffled)
    place_in_class = (turns + 0.5) / sizes
    in_order = shuffled[np.argsort(place_in_class[shuffled], kind="stable")]
    return np.sort(in_order[n:]), np.sort(in_order[:n])


def _turns(labels: Labels, shuffled: Rows) -> tuple[Rows, Rows]:
    """Return each image's turn among those of its class, and the number of images in that class.

    The turn is 0 for the first of its class in the random order `shuffled`, 1 for the second ...
    """
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    _, starts, counts = np.unique(labels[by_class], return_index=True, return_counts=True)
    turns = np.empty(len(labels), np.int64)
    sizes = np.empty(len(labels), np.int64)
    turns[by_class] = np.arange(len(labels)) - np.repeat(starts, counts)
    sizes[by_class] = np.repeat(counts, counts)
    return turns, sizes
