"""Sets of images with labels, and the data set that a network is trained and tested on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.config import PerChannel

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]


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
    if n < 1:
        raise ValueError(f"a subset takes at least 1 image, got {n}")
    if n >= len(images):
        return images
    shuffled = np.random.default_rng(seed).permutation(len(images))
    by_class = shuffled[np.argsort(images.labels[shuffled], kind="stable")]
    _, starts, counts = np.unique(images.labels[by_class], return_index=True, return_counts=True)
    # An image's turn is 0 if it is the first of its class in the random order, 1 if the second ...
    # The first image of every class is chosen before the second image of any class.
    turn = np.empty(len(images), np.int64)
    turn[by_class] = np.arange(len(images)) - np.repeat(starts, counts)
    by_turn = shuffled[np.argsort(turn[shuffled], kind="stable")]
    chosen = np.sort(by_turn[:n])
    return ImageSet(images.images[chosen], images.labels[chosen])
