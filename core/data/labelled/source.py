"""Images with labels in a file, as every kind of file is read."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.data.folder.class_folders import MAX_CLASSES
from core.data.folder.source_files import printable
from core.data.imageset import Labels, Pixels
from core.errors import UserError

MAX_IMAGES = 2_000_000
"""The most images that a data set takes. ImageNet has 1,331,167 with labels."""

_LONGEST_CLASS_NAME = 100

StoredImage = bytes | NDArray[np.generic]
"""One image as its file stores it: the bytes of a picture, or an array of pixels."""


@dataclass(frozen=True)
class LabelledSource:
    """Images in a file or in several, with their labels.

    name: of the file, for messages and for the description of the data set.
    classes: names of the labels 0, 1, ...
    labels: int64 (N,).
    is_test: whether each image is a test image, bool (N,); None if the file does not say.
    contents: reads the N images in their order, one at a time, and from the first on at each call.
    square: turns one into uint8 (3, side, side). Raises UserError if it cannot be read.
    notes: sentences on what was left out or converted.
    """

    name: str
    classes: tuple[str, ...]
    labels: Labels
    is_test: NDArray[np.bool_] | None
    contents: Callable[[], Iterator[StoredImage]]
    square: Callable[[StoredImage, int], Pixels]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)


def check_count(count: int, name: str) -> None:
    """Raise UserError if there are no images, or too many."""
    if count == 0:
        raise UserError(f"{name} holds no images.")
    if count > MAX_IMAGES:
        raise UserError(f"{name} holds {count:,} images: up to {MAX_IMAGES:,} are taken.")


def labels_of_numbers(
    numbers: Labels, names: Sequence[str] | None, what: str
) -> tuple[Labels, tuple[str, ...]]:
    """Return labels in [0, C) and the C class names.

    numbers: the labels as they are stored. names: names of the labels 0, 1, ...; None if there are
    none. Then the numbers that occur are the names, in ascending order. what: the name of the
    numbers in messages. Raises UserError if they cannot be labels.
    """
    if numbers.min() < 0:
        raise UserError(
            f"{what} has the label {numbers.min()}: labels must be 0 or more. A negative label"
            " often marks images without one: leave these out."
        )
    if names is not None:
        if numbers.max() >= len(names):
            raise UserError(
                f"{what} has the label {numbers.max()}, but there are only {len(names):,} class"
                " names."
            )
        return numbers, tidy_names(names, what)
    values, labels = np.unique(numbers, return_inverse=True)
    return labels.astype(np.int64), tidy_names([str(value) for value in values.tolist()], what)


def tidy_names(names: Sequence[str], what: str) -> tuple[str, ...]:
    """Return class names that can be shown and told apart.

    Long names are cut to 100 letters. Where a name occurs twice, as "crane" in ImageNet, its number
    is added. Raises UserError for fewer than 2 or more than 10,000 classes, and for names that
    cannot be printed.
    """
    if len(names) < 2:
        raise UserError(f"{what} has only one class: a classifier takes two or more.")
    if len(names) > MAX_CLASSES:
        raise UserError(f"{what} has {len(names):,} classes: up to {MAX_CLASSES:,} are taken.")
    short_names = []
    for name in names:
        if not name or printable(name) != name:
            raise UserError(f"Class names must be printable letters, got {name[:100]!r}.")
        short_names.append(name[:_LONGEST_CLASS_NAME])
    taken: set[str] = set()
    tidy = []
    for number, name in enumerate(short_names):
        own_name = name if name not in taken else f"{name} ({number})"
        taken.add(own_name)
        tidy.append(own_name)
    return tuple(tidy)
