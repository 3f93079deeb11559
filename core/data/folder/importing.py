"""Make the data set Folder/NAME from images, given as a folder or a zip file."""

import hashlib
import time
from collections.abc import Callable, Generator
from io import BufferedReader
from pathlib import Path

import numpy as np

from core.data.disk import Split
from core.data.draft import Draft, scratch_folder, take_lock
from core.data.folder.catalogue import FOLDER_PREFIX, check_new_name, imported_path
from core.data.folder.class_folders import ClassFile, ReadImages, divide_images, find_classes
from core.data.folder.room import check_room
from core.data.folder.source_files import list_source, printable
from core.data.imageset import Labels, Pixels
from core.data.picture import open_picture, to_square
from core.errors import UserError
from core.events import Event, Note, Progress

_SIDES = range(8, 513)


def import_folder(
    source: str | Path, root: str | Path, name: str, side: int = 32, replace: bool = False
) -> Generator[Event, None, None]:
    """Make the data set `Folder/<name>` from `source`, a folder or zip with a folder per class.

    side: height and width in pixels. The shorter side of a picture is resized to it, and the centre
    is cropped. replace: whether to replace an older data set of this name.

    The classes are sorted by name. If there are the folders train/ and test/ (or val, valid,
    validation), with the class folders in them, these are the training and test images. Otherwise a
    fifth of the images becomes the test set. The hash of a file decides, so that an image stays in
    its set when files are renamed or added, and all copies of a file are in the same set. Every
    class with two different images has one in each set.

    Files that cannot be read are left out. The last Note names some, and meta.json lists them all.
    Raises UserError, and OSError if the disk is full.
    """
    source = Path(source).expanduser()
    yield from in_new_folder(
        root, name, side, replace, lambda folder: _write_folder(source, folder, side)
    )


def in_new_folder(
    root: str | Path,
    name: str,
    side: int,
    replace: bool,
    write: Callable[[Path], Generator[Event, None, None]],
) -> Generator[Event, None, None]:
    """Run `write` on the folder of the data set `Folder/<name>`, under the lock of that folder.

    Raises UserError if the name or the side is not allowed, or if there is already a data set of
    this name that is not to be replaced.
    """
    root = Path(root).expanduser().absolute()
    check_new_name(name)
    if side not in _SIDES:
        raise UserError(f"side must be in [{_SIDES.start}, {_SIDES.stop - 1}] pixels, got {side}")
    folder = imported_path(name, root)
    lock = yield from take_lock(folder, f"Waiting for another process that imports {name}")
    try:
        if folder.exists() and not replace:
            raise UserError(
                f"name must be new: there is already a data set {FOLDER_PREFIX}{name}, in {folder}."
            )
        yield from write(folder)
    finally:
        lock.release()


def _write_folder(source: Path, folder: Path, side: int) -> Generator[Event, None, None]:
    with list_source(source) as files:
        class_files = find_classes(files, str(source))
        # Every image is written twice: as it is read, and into its set.
        check_room(folder, 2 * len(class_files), side)
        yield from _write_dataset(class_files, folder, side, printable(str(source)))
    left_out = len(files) - len(class_files)
    if left_out:
        yield Note(f"Files outside the class folders were left out: {left_out:,}.", level="warning")


def _write_dataset(
    files: list[ClassFile], folder: Path, side: int, source: str
) -> Generator[Event, None, None]:
    """Write the data set to `folder`: first all images to a scratch file, then sorted."""
    hidden = folder.with_name(f".preparing-{folder.name}.images")
    with scratch_folder(hidden) as scratch:
        path = scratch / "images"
        images = yield from _write_squares(files, path, side)
        classes, is_test = divide_images(images)
        labels = np.searchsorted(classes, images.labels).astype(np.int64)
        order = np.array(
            sorted(range(len(labels)), key=lambda row: (labels[row], images.hashes[row]))
        )
        with Draft(folder, side) as draft, path.open("rb") as squares:
            yield from _add_images(draft, "train", squares, side, labels, order[~is_test[order]])
            yield from _add_images(draft, "test", squares, side, labels, order[is_test[order]])
            draft.commit(classes, source, augment=True, skipped=images.skipped)
    yield Note(
        f"{FOLDER_PREFIX}{folder.name} has {np.sum(~is_test):,} training and"
        f" {np.sum(is_test):,} test images in {len(classes):,} classes."
    )
    if images.skipped:
        yield Note(_describe_skipped(images.skipped, len(files)), level="warning")


def _write_squares(
    files: list[ClassFile], path: Path, side: int
) -> Generator[Event, None, ReadImages]:
    """Write the square of every readable picture to `path`, uint8 (N, 3, side, side).

    Raises UserError if no file can be read.
    """
    images = ReadImages()
    reported_at = 0.0
    with path.open("wb") as scratch_file:
        for done, class_file in enumerate(files, 1):
            try:
                data = class_file.file.read()
                square = to_square(open_picture(data, shorter=2 * side), side)
            except UserError as error:
                images.skipped.append(f"{class_file.file}: {error}")
            else:
                scratch_file.write(square.data)
                images.labels.append(class_file.label)
                images.splits.append(class_file.split)
                images.hashes.append(hashlib.sha256(data).digest())
            if time.monotonic() - reported_at > 0.2 or done == len(files):
                reported_at = time.monotonic()
                yield Progress("Reading images", done, len(files), "images")
    if not images.labels:
        reason = images.skipped[0].rstrip(".")
        raise UserError(
            f"None of the {len(files):,} files could be read as a picture; the first: {reason}."
        )
    return images


def _add_images(
    draft: Draft, split: Split, squares: BufferedReader, side: int, labels: Labels, rows: np.ndarray
) -> Generator[Event, None, None]:
    """Add the images at `rows` of the scratch file to the draft, 8 MB at a time."""
    step = max(1, 2**23 // (3 * side * side))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        draft.add(split, _read_squares(squares, side, part), labels[part])
        yield Progress(f"Writing the {split} images", start + len(part), len(rows), "images")


def _read_squares(squares: BufferedReader, side: int, rows: np.ndarray) -> Pixels:
    """Return the images at `rows` of the scratch file.

    They are read, not mapped: a map of a large file would look like memory that is used.
    """
    images = np.empty((len(rows), 3, side, side), np.uint8)
    for image, row in zip(images, rows.tolist(), strict=True):
        squares.seek(row * image.nbytes)
        squares.readinto(image.data)
    return images


def _describe_skipped(skipped: list[str], total: int) -> str:
    examples = "; ".join(text.rstrip(".") for text in skipped[:3])
    if len(skipped) > 3:
        examples += f"; and {len(skipped) - 3:,} more, all listed in meta.json"
    return f"{len(skipped):,} of {total:,} files could not be read and were left out: {examples}."
