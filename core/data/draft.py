"""Write a data set to disk, so that it is there as a whole or not at all."""

import contextlib
import errno
import os
import shutil
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from core.config import PerChannel
from core.data.disk import ARRAYS, Meta, PixelSums, Split
from core.data.imageset import Labels, Pixels
from core.events import Progress
from core.files import replace_file, sync_folder, write_atomically


def try_lock(folder: Path) -> FileLock | None:
    """Take the lock for writing the data set in `folder`, or return None if another has it.

    The caller releases it. Raises OSError if the parent folder cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(folder.parent, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder.parent))
    lock = FileLock(folder.with_name(f".{folder.name}.lock"), thread_local=False)
    try:
        lock.acquire(timeout=0.2)
    except Timeout:
        return None
    return lock


def take_lock(folder: Path, stage: str) -> Generator[Progress, None, FileLock]:
    """Wait for the lock of `try_lock` and return it, yielding Progress of `stage` meanwhile."""
    lock = try_lock(folder)
    while lock is None:
        yield Progress(stage, 0, 0, "images")
        lock = try_lock(folder)
    return lock


@contextlib.contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """Make an empty folder for the time of the block, and delete it afterwards.

    Hold the lock of the data set: what a killed process left in the folder is deleted first.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _ArrayFile:
    """An .npy file that is written piece by piece. Its header gets the length at the end.

    It is written without a memory map, so that a full disk raises OSError. With a memory map the
    system would kill the process.
    """

    def __init__(self, path: Path, dtype: type[np.generic], row_shape: tuple[int, ...]):
        self.dtype = np.dtype(dtype)
        self.row_shape = row_shape
        self.row_bytes = self.dtype.itemsize * int(np.prod(row_shape))
        self.count = 0
        self.file = path.open("wb")
        self.start = self._write_header()

    def _write_header(self) -> int:
        """Write the header for the rows so far, and return its length in bytes."""
        self.file.seek(0)
        shape = (self.count, *self.row_shape)
        header = {"descr": self.dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self.file, header)
        return self.file.tell()

    def write(self, rows: np.ndarray, at: int) -> None:
        """Write rows from row `at` on."""
        self.file.seek(self.start + at * self.row_bytes)
        self.file.write(np.ascontiguousarray(rows, self.dtype).data)
        self.count = max(self.count, at + len(rows))

    def finish(self) -> None:
        """Write the final header, and wait until the disk has everything."""
        # The format pads headers, so that the number of rows may get more digits.
        if self._write_header() != self.start:
            raise RuntimeError("the header of an .npy file has changed its length")
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()


class Draft(contextlib.AbstractContextManager["Draft"]):
    """A data set that is being written, in a hidden folder next to `folder`.

    Hold the lock of the data set. `commit` moves it into place. The hidden folder is deleted at the
    end of the block.
    """

    def __init__(self, folder: Path, side: int):
        self.folder = folder
        self._stack = contextlib.ExitStack()
        self._train_sums = PixelSums()
        hidden = folder.with_name(f".preparing-{folder.name}")
        self.temporary = self._stack.enter_context(scratch_folder(hidden))
        try:
            self._files = {name: self._open_file(name, side) for name in ARRAYS}
        except BaseException:
            self._stack.close()
            raise

    def _open_file(self, name: str, side: int) -> _ArrayFile:
        path = self.temporary / f"{name}.npy"
        if name.endswith("images"):
            array_file = _ArrayFile(path, np.uint8, (3, side, side))
        else:
            array_file = _ArrayFile(path, np.int64, ())
        self._stack.callback(array_file.file.close)
        return array_file

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def add(self, split: Split, images: Pixels, labels: Labels, at: int | None = None) -> None:
        """Write (N, 3, H, W) images and their labels from image `at` on, or after the last one.

        Training images that are written without `at` are added up for `commit` meanwhile, so that
        a large data set is not read again for its mean.
        """
        if at is None:
            at = self._files[f"{split}_labels"].count
            if split == "train":
                self._train_sums.add(images)
        self._files[f"{split}_images"].write(images, at)
        self._files[f"{split}_labels"].write(labels, at)

    def commit(
        self,
        classes: Sequence[str],
        source: str,
        augment: bool,
        normalisation: tuple[PerChannel, PerChannel] | None = None,
        skipped: Sequence[str] = (),
    ) -> None:
        """Write the description, and move everything into place.

        normalisation: mean and deviation; needed if images were written with `at`. Otherwise they
        are those of the training images. skipped: the files that could not be read.
        """
        for array_file in self._files.values():
            array_file.finish()
        if normalisation is None:
            normalisation = self._train_sums.mean_and_std()
        mean, std = normalisation
        meta = Meta(
            classes=list(classes),
            mean=mean,
            std=std,
            augment=augment,
            source=source,
            skipped=list(skipped),
        )
        write_atomically(self.temporary / "meta.json", meta.model_dump_json(indent=1).encode())
        if self.folder.exists():
            self._replace_files()
        else:
            replace_file(self.temporary, self.folder)
        sync_folder(self.folder.parent)

    def _replace_files(self) -> None:
        """Replace the files of an older data set, and keep what else is in its folder.

        The old description is deleted first and the new one comes last: without a description the
        data set does not count as ready.
        """
        (self.folder / "meta.json").unlink(missing_ok=True)
        for array in ARRAYS:
            replace_file(self.temporary / f"{array}.npy", self.folder / f"{array}.npy")
        replace_file(self.temporary / "meta.json", self.folder / "meta.json")
        sync_folder(self.folder)
