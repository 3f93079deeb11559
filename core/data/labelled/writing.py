"""Write the images of a file as a data set, one after the other: never all in memory."""

import hashlib
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.data.disk import Split
from core.data.draft import Draft
from core.data.folder.catalogue import FOLDER_PREFIX
from core.data.folder.class_folders import split_by_content
from core.data.folder.room import check_room
from core.data.imageset import Labels, Pixels
from core.data.labelled.source import LabelledSource
from core.errors import UserError
from core.events import Event, Note, Progress

_LISTED = 1_000  # images that could not be read, in meta.json
_BATCH_BYTES = 2**22


@dataclass
class _Written:
    """Counts what was written.

    train, test: images of each class. skipped: number of images that could not be read. reasons:
    the first of them, with the reasons.
    """

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    skipped: int = 0
    reasons: list[str] = field(default_factory=list)

    def skip(self, row: int, error: UserError) -> None:
        self.skipped += 1
        if len(self.reasons) < _LISTED:
            self.reasons.append(f"image {row:,}: {error}")


def write_source(source: LabelledSource, folder: Path, side: int) -> Generator[Event, None, None]:
    """Write the data set to `folder`, in the order of the source.

    If the source does not say which images are for testing, a fifth of them is, by the hash of
    their content. Images that cannot be read are left out. Raises UserError if what is left cannot
    train and test a classifier, and OSError if the disk is full.
    """
    check_room(folder, len(source), side)
    is_test = source.is_test
    if is_test is None:
        is_test = yield from _hold_out(source)
    classes = len(source.classes)
    written = _Written(np.zeros(classes, np.int64), np.zeros(classes, np.int64))
    with Draft(folder, side) as draft:
        yield from _write_squares(source, is_test, draft, side, written)
        _check_written(source, written)
        draft.commit(source.classes, source.name, augment=True, skipped=written.reasons)
    yield Note(
        f"{FOLDER_PREFIX}{folder.name} has {written.train.sum():,} training and"
        f" {written.test.sum():,} test images in {classes:,} classes."
    )
    for note in source.notes:
        yield Note(note)
    if written.skipped:
        yield Note(_describe_skipped(written, len(source)), level="warning")


def _hold_out(source: LabelledSource) -> Generator[Event, None, NDArray[np.bool_]]:
    """Return whether each image is a test image, by the hash of its content."""
    hashes = []
    for row, content in enumerate(source.contents(), 1):
        data = content if isinstance(content, bytes) else content.tobytes()
        hashes.append(hashlib.sha256(data).digest())
        if row % 256 == 0 or row == len(source):
            yield Progress("Dividing the images", row, len(source), "images")
    names = [source.classes[label] for label in source.labels.tolist()]
    return split_by_content(names, hashes)


def _write_squares(
    source: LabelledSource,
    is_test: NDArray[np.bool_],
    draft: Draft,
    side: int,
    written: _Written,
) -> Generator[Event, None, None]:
    waiting: dict[Split, _Batch] = {"train": _Batch(side), "test": _Batch(side)}
    reported_at = 0.0
    for row, content in enumerate(source.contents()):
        split: Split = "test" if is_test[row] else "train"
        try:
            square = source.square(content, side)
        except UserError as error:
            written.skip(row, error)
        else:
            label = int(source.labels[row])
            (written.test if is_test[row] else written.train)[label] += 1
            waiting[split].add(square, label)
            if waiting[split].is_full:
                draft.add(split, *waiting[split].take())
        if time.monotonic() - reported_at > 0.2 or row + 1 == len(source):
            reported_at = time.monotonic()
            yield Progress("Reading images", row + 1, len(source), "images")
    for split, batch in waiting.items():
        draft.add(split, *batch.take())


class _Batch:
    """Collects images until 4 MB are worth a write."""

    def __init__(self, side: int):
        rows = max(1, _BATCH_BYTES // (3 * side * side))
        self._images = np.empty((rows, 3, side, side), np.uint8)
        self._labels = np.empty(rows, np.int64)
        self._count = 0

    @property
    def is_full(self) -> bool:
        return self._count == len(self._labels)

    def add(self, square: Pixels, label: int) -> None:
        self._images[self._count] = square
        self._labels[self._count] = label
        self._count += 1

    def take(self) -> tuple[Pixels, Labels]:
        """Return the images and labels, and begin anew: the next `add` overwrites them."""
        count = self._count
        self._count = 0
        return self._images[:count], self._labels[:count]


def _check_written(source: LabelledSource, written: _Written) -> None:
    """Raise UserError if the images that were written cannot train and test a classifier."""
    total = written.train + written.test
    if not total.any():
        reason = written.reasons[0].rstrip(".")
        raise UserError(f"None of the {len(source):,} images could be read; the first: {reason}.")
    if np.count_nonzero(total) < 2:
        label = source.classes[int(total.argmax())]
        raise UserError(
            f"Only the class {label!r} has images that can be read: a classifier takes two or more."
        )
    if not written.test.any():
        raise UserError(
            "No class has a second, different image to test on: give every class at least two."
        )
    only_tested = np.flatnonzero((written.test > 0) & (written.train == 0))
    if len(only_tested):
        label = source.classes[int(only_tested[0])]
        raise UserError(
            f"The class {label!r} has test images but no training image that can be read."
        )


def _describe_skipped(written: _Written, total: int) -> str:
    examples = "; ".join(text.rstrip(".") for text in written.reasons[:3])
    if written.skipped > 3:
        examples += f"; and {written.skipped - 3:,} more, listed in meta.json"
    return (
        f"{written.skipped:,} of {total:,} images could not be read and were left out: {examples}."
    )
