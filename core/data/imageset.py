"""Images and labels as two arrays, and the pair of such sets that a network learns from and is tested on."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class ImageSet:
    """`images`: uint8 (N, 3, H, W), RGB in [0, 255], usually memory-mapped and read-only; `labels`: int64 (N,)."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in memory maps.

    `classes` names the labels 0, 1, ...; `mean` and `std` of the three channels are in [0, 1] units; `augment` says
    whether random crops and flips are this data set's habit (they would turn a digit into another one).
    """

    name: str
    train: ImageSet
    test: ImageSet
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    augment: bool

    @property
    def side(self) -> int:
        """Height and width of the images in pixels."""
        return self.train.images.shape[-1]


def subset(images: ImageSet, n: int, seed: int) -> ImageSet:
    """`n` random images, the same ones for a seed, with every class as often as any other where there are enough.

    The images keep their order, and a smaller subset of the same seed lies within a larger one. All images if there
    are no more than `n`. Copies the chosen images; raises ValueError for fewer than one.
    """
    if n < 1:
        raise ValueError(f"a subset takes at least 1 image, got {n}")
    if n >= len(images):
        return images
    shuffled = np.random.default_rng(seed).permutation(len(images))
    by_class = shuffled[np.argsort(images.labels[shuffled], kind="stable")]
    _, starts, counts = np.unique(images.labels[by_class], return_index=True, return_counts=True)
    turn = np.empty(len(images), np.int64)  # the first of every class comes before the second of any
    turn[by_class] = np.arange(len(images)) - np.repeat(starts, counts)
    chosen = np.sort(shuffled[np.argsort(turn[shuffled], kind="stable")[:n]])
    return ImageSet(images.images[chosen], images.labels[chosen])
