"""Image data sets: uint8 arrays on disk, which are prepared once and memory-mapped."""

import errno
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.data import cifar, digits, disk, draft, folder
from core.data.cifar import CIFAR10, CIFAR100, CIFAR_SETS
from core.data.folder import import_folder, remove
from core.data.imageset import Dataset, ImageSet, check_validation, subset
from core.data.labelled import import_images
from core.data.picture import open_picture, to_square
from core.errors import UserError
from core.events import Event, Note

__all__ = [
    "DATASETS",
    "Choice",
    "Dataset",
    "DatasetInfo",
    "ImageSet",
    "available",
    "check_validation",
    "import_folder",
    "import_images",
    "is_ready",
    "load",
    "open_picture",
    "prepare",
    "remove",
    "subset",
    "to_square",
]


@dataclass(frozen=True)
class DatasetInfo:
    """Facts about a data set, for a form.

    classes: number of classes. train_images, test_images: numbers of images.
    side: height and width of the images in pixels.
    download: size of the download in bytes; 0 if nothing is downloaded.
    """

    name: str
    classes: int
    train_images: int
    test_images: int
    side: int
    download: int
    description: str


_CANNOT_BE_WRITTEN = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT)
"""The errors of a folder in which nothing can be made. /proc says that it is not there."""

DATASETS: dict[str, DatasetInfo] = {
    "Digits": DatasetInfo(
        name="Digits",
        classes=10,
        train_images=1_437,
        test_images=360,
        side=32,
        download=0,
        description="Handwritten digits from scikit-learn; nothing to download.",
    ),
    "CIFAR10": DatasetInfo(
        name="CIFAR10",
        classes=10,
        train_images=50_000,
        test_images=10_000,
        side=32,
        download=CIFAR10.archive_bytes,
        description="Small photographs of animals and vehicles.",
    ),
    "CIFAR100": DatasetInfo(
        name="CIFAR100",
        classes=100,
        train_images=50_000,
        test_images=10_000,
        side=32,
        download=CIFAR100.archive_bytes,
        description="The same kind of photographs in a hundred classes.",
    ),
}

DatasetState = Literal["ready", "bundled", "on disk", "download"]


@dataclass(frozen=True)
class Choice:
    """A data set that can be chosen.

    state: "ready" if it is prepared, "bundled" if it can be made in a moment, "on disk" if its
    official files only have to be unpacked, "download" if it comes from the network.
    """

    info: DatasetInfo
    state: DatasetState

    @property
    def name(self) -> str:
        return self.info.name


def available(root: str | Path) -> list[Choice]:
    """Return the data sets under `root` that can be chosen, without reading any image.

    Those of the registry come first, then the imported ones, except for damaged ones.
    """
    root = _absolute(root)
    choices = [Choice(info, _state(info.name, root)) for info in DATASETS.values()]
    for name in folder.imported_names(root):
        dataset = _open_if_ready(name, root)
        if dataset is not None:
            choices.append(Choice(_info_of_imported(dataset), "ready"))
    return choices


def is_ready(name: str, root: str | Path) -> bool:
    """Return whether the data set is prepared. Raises UserError for an unknown name."""
    return _open_if_ready(name, _absolute(root)) is not None


def fingerprint(name: str, root: str | Path) -> str:
    """Return a text that changes when other images are imported under the same name.

    It is empty for the data sets of the registry, whose content is fixed, and for unknown names.
    """
    if name in DATASETS or name not in folder.imported_names(_absolute(root)):
        return ""
    place = folder.imported_path(name, _absolute(root))
    facts = [path.stat() for path in sorted(place.glob("*.npy"))]
    return ",".join(f"{fact.st_size}-{fact.st_mtime_ns}" for fact in facts)


def load(name: str, root: str | Path) -> Dataset:
    """Return the data set, after preparing it if need be.

    Raises UserError, and OSError if the disk is full or cannot be written.
    """
    for _ in prepare(name, root):
        pass
    if name == "Digits" and not is_ready(name, root):
        return digits.digits_in_memory()
    return disk.open_dataset(_folder_of(name, _absolute(root)), name)


def prepare(name: str, root: str | Path) -> Generator[Event, None, None]:
    """Make the data set ready under `root`, yielding progress. Yields nothing if it is ready.

    If it is stopped, nothing half-written stays. A damaged data set is prepared again. If two
    processes prepare the same one, the second waits, and then finds it ready. Where nothing can be
    written, Digits are left for `load` to make in memory. Raises UserError, and OSError if the disk
    is full or cannot be written.
    """
    root = _absolute(root)
    place = _folder_of(name, root)
    if _open_if_ready(name, root):
        return
    if name not in DATASETS:
        # An imported data set cannot be prepared again. This raises what is wrong with it.
        disk.open_dataset(place, name)
    try:
        yield from _prepare_with_lock(name, root, place)
    except OSError as error:
        if error.filename is None:  # as on a full disk, whose folder a message then names
            error.filename = str(root)
        if name != "Digits" or error.errno not in _CANNOT_BE_WRITTEN:
            raise
        yield Note(f"{root} cannot be written: Digits are made in memory.")


def _prepare_with_lock(name: str, root: Path, place: Path) -> Generator[Event, None, None]:
    lock = yield from draft.take_lock(place, f"Waiting for another process that prepares {name}")
    try:
        if _open_if_ready(name, root):
            return
        if (place / "meta.json").exists():
            yield Note(
                f"The data set {name} in {place} is damaged and is prepared again.",
                level="warning",
            )
        if name == "Digits":
            yield from digits.write_digits(place)
        else:
            yield from cifar.write_cifar(CIFAR_SETS[name], root, place)
    finally:
        lock.release()


def _absolute(root: str | Path) -> Path:
    return Path(root).expanduser().absolute()


def _folder_of(name: str, root: Path) -> Path:
    """Return the folder of a data set. Raises UserError for an unknown name."""
    if name in DATASETS:
        return root / name
    names = [*DATASETS, *folder.imported_names(root)]
    if name not in names:
        raise UserError(f"dataset must be one of {', '.join(names)}, got {name!r}")
    return folder.imported_path(name, root)


def _open_if_ready(name: str, root: Path) -> Dataset | None:
    place = _folder_of(name, root)
    try:
        return disk.open_dataset(place, name)
    except UserError:
        return None


def _state(name: str, root: Path) -> DatasetState:
    if _open_if_ready(name, root):
        return "ready"
    if name == "Digits":
        return "bundled"
    if cifar.has_official_files(CIFAR_SETS[name], root):
        return "on disk"
    return "download"


def _info_of_imported(dataset: Dataset) -> DatasetInfo:
    return DatasetInfo(
        name=dataset.name,
        classes=len(dataset.classes),
        train_images=len(dataset.train),
        test_images=len(dataset.test),
        side=dataset.side,
        download=0,
        description="Imported images.",
    )
