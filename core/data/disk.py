"""Read a prepared data set: four memory-mapped arrays and their description, meta.json."""

import tokenize
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from core.config import PerChannel
from core.data.imageset import Dataset, ImageSet, Pixels
from core.errors import UserError

Split = Literal["train", "test"]
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
_PositiveFloat = Annotated[FiniteFloat, Field(gt=0)]


class Meta(BaseModel):
    """The description of the arrays, as it is in meta.json.

    source: where the images came from. skipped: the files that could not be read.
    The other fields are those of `Dataset`.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    classes: list[str] = Field(min_length=2)
    mean: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    std: tuple[_PositiveFloat, _PositiveFloat, _PositiveFloat]
    augment: bool
    source: str
    skipped: list[str] = Field(default=[])


def open_dataset(folder: Path, name: str) -> Dataset:
    """Open the prepared data set in `folder`, memory-mapped and read-only.

    Raises UserError if anything is missing or damaged. Its text says to delete the folder.
    """
    try:
        meta = Meta.model_validate_json((folder / "meta.json").read_bytes())
        train = _open_image_set(folder, "train", len(meta.classes))
        test = _open_image_set(folder, "test", len(meta.classes))
        if train.images.shape[1:] != test.images.shape[1:]:
            raise ValueError("training and test images differ in size")
    # numpy parses the header of an array as Python code, hence the last two.
    except (OSError, ValueError, EOFError, SyntaxError, tokenize.TokenError) as error:
        reason = " ".join(str(error).split()[:20]) or type(error).__name__
        raise UserError(
            f"The data set {name} is damaged ({reason}): delete {folder} and make it again."
        ) from error
    return Dataset(
        name=name,
        train=train,
        test=test,
        classes=tuple(meta.classes),
        mean=meta.mean,
        std=meta.std,
        augment=meta.augment,
    )


def open_array(path: Path) -> np.ndarray:
    """Map an .npy file into memory, read-only. Raises ValueError if its length is wrong."""
    # The same as np.load, but a file with pickled objects is always refused.
    array = np.lib.format.open_memmap(path, mode="r")
    expected_bytes = array.offset + array.nbytes
    if expected_bytes != path.stat().st_size or not array.flags.c_contiguous:
        raise ValueError(f"{path.name} does not have its proper size")
    return array


def _open_image_set(folder: Path, split: Split, num_classes: int) -> ImageSet:
    images = open_array(folder / f"{split}_images.npy")
    labels = open_array(folder / f"{split}_labels.npy")
    if images.ndim != 4 or labels.ndim != 1:
        raise ValueError("the arrays do not have their proper shapes")
    count = len(labels)
    side = images.shape[-1]
    if images.dtype != np.uint8 or images.shape != (count, 3, side, side) or count == 0:
        raise ValueError(f"images are {images.dtype} {images.shape} for {count} labels")
    if labels.dtype != np.int64 or labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(f"labels are not of {num_classes} classes")
    return ImageSet(images, labels)


class PixelSums:
    """Adds up the pixels of images, for their mean and deviation.

    The sums are exact integers, so the order of the images does not matter.
    """

    def __init__(self) -> None:
        self._pixels = 0  # of one channel
        self._total = np.zeros(3, np.int64)
        self._squares = np.zeros(3, np.int64)

    def add(self, images: Pixels) -> None:
        """Add images (N, 3, H, W), 4 MB of them at a time."""
        rows = max(1, 2**22 // max(1, images[:1].nbytes))
        for start in range(0, len(images), rows):
            part = images[start : start + rows]
            channels = part.reshape(len(part), 3, -1)
            # The largest square of a byte fits into 16 bits.
            squares = np.square(channels, dtype=np.uint16)
            self._total += channels.sum(axis=2, dtype=np.int64).sum(axis=0)
            self._squares += squares.sum(axis=2, dtype=np.int64).sum(axis=0)
            self._pixels += channels.shape[0] * channels.shape[2]

    def mean_and_std(self) -> tuple[PerChannel, PerChannel]:
        """Return mean and deviation of each channel, for pixels in [0, 1].

        The deviation of a channel that is constant or nearly so is taken as half a grey level.
        """
        mean = self._total / self._pixels
        std = np.sqrt(np.maximum(self._squares / self._pixels - mean**2, 0.25))
        return _per_channel(mean / 255), _per_channel(std / 255)


def pixel_mean_and_std(images: Pixels) -> tuple[PerChannel, PerChannel]:
    """Return mean and deviation of each channel of (N, 3, H, W) images, for pixels in [0, 1]."""
    sums = PixelSums()
    sums.add(images)
    return sums.mean_and_std()


def _per_channel(values: np.ndarray) -> PerChannel:
    red, green, blue = values.tolist()
    return red, green, blue
