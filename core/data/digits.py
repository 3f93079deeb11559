"""Digits: the 1,797 handwritten digits that scikit-learn carries, real and small, for a first try without a download.

E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from core.data.disk import Draft, measure
from core.data.imageset import Dataset, ImageSet
from core.events import Event, Progress

SIDE = 32
CLASSES = [str(digit) for digit in range(10)]
SOURCE = "scikit-learn's digits, enlarged from 8x8 to 32x32 (bicubic)"


def splits() -> tuple[ImageSet, ImageSet]:
    """1,437 training and 360 test images.

    The 8x8 greys of 0 to 16 are stretched to 0 to 255, enlarged to 32x32 by Pillow's bicubic filter and repeated in
    three channels. Sorted by class, every fifth image is a test image: a fixed split in which every class has its
    fifth, give or take one image. As in scikit-learn's file, the same writers are on both sides.
    """
    greys, labels = _bundled()
    small = np.rint(greys * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    large = np.stack([np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
                      for image in small])
    images = np.repeat(large[:, None], 3, axis=1)
    is_test = np.zeros(len(labels), bool)
    is_test[np.argsort(labels, kind="stable")[::5]] = True
    return ImageSet(images[~is_test], labels[~is_test]), ImageSet(images[is_test], labels[is_test])


def _bundled() -> tuple[np.ndarray, np.ndarray]:
    """Greys (1797, 64) in [0, 16] and int64 labels, from scikit-learn's own file: importing it takes a second."""
    package = find_spec("sklearn")
    table = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz" if package and package.origin else None
    if table and table.is_file():
        rows = np.loadtxt(table, delimiter=",")
        return rows[:, :-1], rows[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)


def prepare(folder: Path) -> Iterator[Event]:
    """Write the data set to `folder`; takes a fraction of a second."""
    train, test = splits()
    with Draft(folder, SIDE) as draft:
        draft.add("train", train.images, train.labels)
        draft.add("test", test.images, test.labels)
        draft.commit(CLASSES, SOURCE, augment=False)
    yield Progress("Preparing Digits", len(train) + len(test), len(train) + len(test), "images")


def in_memory() -> Dataset:
    """The same data set without a disk."""
    train, test = splits()
    return Dataset("Digits", train, test, tuple(CLASSES), *measure(train.images), augment=False)
