"""Digits: the 1,797 handwritten digits that come with scikit-learn, for a try without a download.

E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
Repository, 1998.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from core.data.disk import pixel_mean_and_std
from core.data.draft import Draft
from core.data.imageset import Dataset, ImageSet, Labels
from core.events import Event, Progress

_SIDE = 32
_CLASSES = tuple(str(digit) for digit in range(10))
_SOURCE = "scikit-learn's digits, enlarged from 8x8 to 32x32 (bicubic)"


def digit_images() -> tuple[ImageSet, ImageSet]:
    """Return 1,437 training and 360 test images.

    The 8x8 grey values from 0 to 16 are stretched to 0 to 255, enlarged to 32x32 by Pillow's
    bicubic filter, and repeated in three channels. The digits are sorted by class, and every fifth
    becomes a test image. So each class has a fifth of its images in the test set, give or take one.
    The order within a class is that of scikit-learn's file. The same people wrote the digits of
    both sets.
    """
    greys, labels = _read_digits()
    small = np.rint(greys * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    large = np.stack([_enlarge(image) for image in small])
    images = np.repeat(large[:, None], 3, axis=1)
    is_test = np.zeros(len(labels), bool)
    by_class = np.argsort(labels, kind="stable")
    is_test[by_class[::5]] = True
    train = ImageSet(images[~is_test], labels[~is_test])
    test = ImageSet(images[is_test], labels[is_test])
    return train, test


def write_digits(folder: Path) -> Iterator[Event]:
    """Write the data set to `folder`, in a fraction of a second."""
    train, test = digit_images()
    with Draft(folder, _SIDE) as draft:
        draft.add("train", train.images, train.labels)
        draft.add("test", test.images, test.labels)
        draft.commit(_CLASSES, _SOURCE, augment=False)
    count = len(train) + len(test)
    yield Progress("Preparing Digits", count, count, "images")


def digits_in_memory() -> Dataset:
    """Return the same data set without using the disk."""
    train, test = digit_images()
    mean, std = pixel_mean_and_std(train.images)
    return Dataset("Digits", train, test, _CLASSES, mean, std, augment=False)


def _enlarge(image: np.ndarray) -> np.ndarray:
    enlarged = Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    return np.asarray(enlarged)


def _read_digits() -> tuple[np.ndarray, Labels]:
    """Return grey values (1797, 64) in [0, 16] and labels.

    They are read from scikit-learn's file, because importing scikit-learn takes a second.
    """
    package = find_spec("sklearn")
    if package is not None and package.origin is not None:
        path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
        if path.is_file():
            rows = np.loadtxt(path, delimiter=",")
            return rows[:, :-1], rows[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits

    greys, labels = load_digits(return_X_y=True)
    return greys, labels
