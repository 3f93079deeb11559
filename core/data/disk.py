"""The one form of a data set on disk: four arrays and a description, memory-mapped, there whole or not at all."""

import contextlib
import errno
import os
import shutil
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from core.data.imageset import Dataset, ImageSet
from core.errors import UserError
from core.events import Progress
from core.files import rename, sync_folder, write_atomically

Split = Literal["train", "test"]
Positive = Annotated[FiniteFloat, Field(gt=0)]
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


class Meta(BaseModel):
    """The description beside the arrays; `source` says where the images came from, `skipped` what was not readable."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    classes: list[str] = Field(min_length=2)
    mean: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    std: tuple[Positive, Positive, Positive]
    augment: bool
    source: str
    skipped: list[str] = []


def read(folder: Path, name: str) -> Dataset:
    """The prepared data set in `folder`, memory-mapped and read-only.

    Raises UserError if anything about it is missing or damaged, which says to delete the folder.
    """
    try:
        meta = Meta.model_validate_json((folder / "meta.json").read_bytes())
        arrays = {array: _map(folder / f"{array}.npy") for array in ARRAYS}
        sets = [_image_set(arrays[f"{split}_images"], arrays[f"{split}_labels"], len(meta.classes))
                for split in ("train", "test")]
        if sets[0].images.shape[1:] != sets[1].images.shape[1:]:
            raise ValueError("training and test images differ in size")
    except (OSError, ValueError, EOFError, SyntaxError, tokenize.TokenError) as error:  # a header is parsed as Python
        why = " ".join(str(error).split()[:20]) or type(error).__name__
        raise UserError(f"The data set {name} is damaged ({why}): delete {folder} and make it again.") from error
    return Dataset(name, *sets, tuple(meta.classes), meta.mean, meta.std, meta.augment)


def _map(path: Path) -> np.ndarray:
    array = np.lib.format.open_memmap(path, mode="r")  # what np.load does without pickles
    if array.offset + array.nbytes != path.stat().st_size or not array.flags.c_contiguous:
        raise ValueError(f"{path.name} does not have its proper size")
    return array


def _image_set(images: np.ndarray, labels: np.ndarray, classes: int) -> ImageSet:
    if images.ndim != 4 or labels.ndim != 1:
        raise ValueError("the arrays do not have their proper shapes")
    n, side = len(labels), images.shape[-1]
    if images.dtype != np.uint8 or images.shape != (n, 3, side, side) or not n:
        raise ValueError(f"images are {images.dtype} {images.shape} for {n} labels")
    if labels.dtype != np.int64 or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels are not of {classes} classes")
    return ImageSet(images, labels)


def measure(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of uint8 (N, 3, H, W) images, in [0, 1] units.

    Exact sums of integers, so the same in any order. Never below half a grey level: a channel may be constant.
    """
    total, squares = np.zeros(3, np.int64), np.zeros(3, np.int64)
    rows = max(1, 2**22 // images[0].nbytes)
    for start in range(0, len(images), rows):
        part = images[start:start + rows]
        total += part.sum(axis=(0, 2, 3), dtype=np.int64)
        squares += np.square(part, dtype=np.uint32).sum(axis=(0, 2, 3), dtype=np.int64)
    count = images.size // 3
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0.25))
    return tuple((mean / 255).tolist()), tuple((std / 255).tolist())


@contextlib.contextmanager
def cleared(folder: Path) -> Iterator[Path]:
    """An empty folder for the time of the block. What an earlier, killed process left there is removed first, so
    hold the data set's lock."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Column:
    """An .npy file that is written in pieces; its length is put into the header when it is known.

    Plain writes, no memory map: on a full disk a write raises OSError, where a map would kill the process.
    """

    def __init__(self, path: Path, dtype: type, row: tuple[int, ...]):
        self.dtype, self.row, self.count = np.dtype(dtype), row, 0
        self.row_bytes = self.dtype.itemsize * int(np.prod(row))
        self.file = path.open("wb")
        self.start = self._write_header()

    def _write_header(self) -> int:
        self.file.seek(0)
        header = {"descr": self.dtype.str, "fortran_order": False, "shape": (self.count, *self.row)}
        np.lib.format.write_array_header_1_0(self.file, header)
        return self.file.tell()

    def write(self, rows: np.ndarray, at: int) -> None:
        self.file.seek(self.start + at * self.row_bytes)
        self.file.write(np.ascontiguousarray(rows, self.dtype))
        self.count = max(self.count, at + len(rows))

    def finish(self) -> None:
        if self._write_header() != self.start:  # the format pads headers so that the first axis may grow
            raise RuntimeError("the header of an .npy file has changed its length")
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()


class Draft(contextlib.AbstractContextManager):
    """A data set while it is written, in a hidden folder beside `folder` that vanishes with the block.

    Hold the data set's lock. `commit` moves it into place; without it nothing stays.
    """

    def __init__(self, folder: Path, side: int):
        self.folder, self._stack = folder, contextlib.ExitStack()
        self.temporary = self._stack.enter_context(cleared(folder.with_name(f".preparing-{folder.name}")))
        try:
            self._columns = {name: self._column(name, side) for name in ARRAYS}
        except BaseException:
            self._stack.close()
            raise

    def _column(self, name: str, side: int) -> _Column:
        images = name.endswith("images")
        column = _Column(self.temporary / f"{name}.npy", *((np.uint8, (3, side, side)) if images else (np.int64, ())))
        self._stack.callback(column.file.close)
        return column

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def add(self, split: Split, images: np.ndarray, labels: np.ndarray, at: int | None = None) -> None:
        """Write uint8 (N, 3, H, W) images and their labels from image `at` on, or after the last one."""
        at = self._columns[f"{split}_labels"].count if at is None else at
        self._columns[f"{split}_images"].write(images, at)
        self._columns[f"{split}_labels"].write(labels, at)

    def commit(self, classes: list[str], source: str, augment: bool, mean: tuple | None = None,
               std: tuple | None = None, skipped: tuple[str, ...] = ()) -> None:
        """Describe the arrays and put them into place; mean and deviation are those of the training images unless
        given. An older data set in `folder` loses its description first: without one it is not taken for ready."""
        for column in self._columns.values():
            column.finish()
        if mean is None:
            mean, std = measure(_map(self.temporary / "train_images.npy"))
        meta = Meta(classes=classes, mean=mean, std=std, augment=augment, source=source, skipped=list(skipped))
        write_atomically(self.temporary / "meta.json", meta.model_dump_json(indent=1).encode())
        if self.folder.exists():
            (self.folder / "meta.json").unlink(missing_ok=True)
            for file in (*(f"{array}.npy" for array in ARRAYS), "meta.json"):
                rename(self.temporary / file, self.folder / file)
            sync_folder(self.folder)
        else:
            rename(self.temporary, self.folder)
        sync_folder(self.folder.parent)


def try_lock(folder: Path) -> FileLock | None:
    """The right to write `folder`, to be released; None if somebody else has it now. Raises OSError if the place
    cannot be written."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(folder.parent, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder.parent))
    lock = FileLock(folder.with_name(f".{folder.name}.lock"), thread_local=False)
    try:
        return lock.acquire(timeout=0.2).lock
    except Timeout:
        return None


def take_lock(folder: Path, stage: str) -> Iterator[Progress]:
    """Wait for that right, yielding while somebody else has it; returns the lock."""
    while not (lock := try_lock(folder)):
        yield Progress(stage, 0, 0, "images")
    return lock
