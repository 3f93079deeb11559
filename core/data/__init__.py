"""Image data sets: uint8 arrays on disk, prepared once and memory-mapped, and how they get there."""

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.data import cifar, digits, disk, folder
from core.data.folder import import_folder, remove
from core.data.imageset import Dataset, ImageSet, subset
from core.data.picture import open_picture, to_square
from core.errors import UserError
from core.events import Event, Note

__all__ = ["DATASETS", "Choice", "Dataset", "DatasetInfo", "ImageSet", "available", "import_folder", "is_ready", "load",
           "open_picture", "prepare", "remove", "subset", "to_square"]


@dataclass(frozen=True)
class DatasetInfo:
    """Facts for a form: numbers of classes and images, `side` in pixels, `download` in bytes (0: none)."""

    name: str
    classes: int
    train_images: int
    test_images: int
    side: int
    download: int
    description: str


DATASETS: dict[str, DatasetInfo] = {
    "Digits": DatasetInfo("Digits", 10, 1_437, 360, 32, 0,
                          "Handwritten digits from scikit-learn; nothing to download."),
    "CIFAR10": DatasetInfo("CIFAR10", 10, 50_000, 10_000, 32, cifar.CIFAR10.archive_bytes,
                           "Small photographs of animals and vehicles."),
    "CIFAR100": DatasetInfo("CIFAR100", 100, 50_000, 10_000, 32, cifar.CIFAR100.archive_bytes,
                            "The same kind of photographs in a hundred classes."),
}


@dataclass(frozen=True)
class Choice:
    """A data set that can be chosen now.

    `state`: "ready" on disk; "bundled", made in a moment; "on disk", as official files that have to be unpacked;
    "download", from the network.
    """

    info: DatasetInfo
    state: Literal["ready", "bundled", "on disk", "download"]

    @property
    def name(self) -> str:
        return self.info.name


def available(root: str | Path) -> list[Choice]:
    """What can be chosen, the registry's data sets first, then the imported folders; looks at no pixel."""
    root = _absolute(root)
    return [Choice(info, _state(info.name, root)) for info in DATASETS.values()] + [
        Choice(DatasetInfo(name, len(dataset.classes), len(dataset.train), len(dataset.test), dataset.side, 0,
                           "Imported images."), "ready")
        for name in folder.imported(root) if (dataset := _ready(name, root))]


def is_ready(name: str, root: str | Path) -> bool:
    """Whether `load` would return at once. Raises UserError for a name that is not known."""
    return _ready(name, _absolute(root)) is not None


def load(name: str, root: str | Path) -> Dataset:
    """The data set, prepared first if need be. Raises UserError, and OSError where the disk refuses."""
    for _ in prepare(name, root):
        pass
    if name == "Digits" and not is_ready(name, root):
        return digits.in_memory()
    return disk.read(_place(name, _absolute(root)), name)


def prepare(name: str, root: str | Path) -> Iterator[Event]:
    """Make the data set ready under `root`, yielding progress; nothing half-written stays if it is stopped.

    A damaged data set is prepared again. Two that prepare the same one wait for each other, and the second finds it
    ready. Where nothing can be written, Digits are left to be made in memory. Raises UserError, and OSError where the
    disk is full or refuses.
    """
    root = _absolute(root)
    place = _place(name, root)
    if _ready(name, root):
        return
    if name not in DATASETS:
        disk.read(place, name)  # says what is wrong with it
    try:
        yield from _prepare(name, root, place)
    except OSError as error:
        if name != "Digits" or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        yield Note(f"{root} cannot be written: Digits are made in memory.")


def _prepare(name: str, root: Path, place: Path) -> Iterator[Event]:
    lock = yield from disk.take_lock(place, f"Waiting for another process that prepares {name}")
    try:
        if not _ready(name, root):
            if (place / "meta.json").exists():
                yield Note(f"The data set {name} in {place} is damaged and is prepared again.", level="warning")
            yield from digits.prepare(place) if name == "Digits" else cifar.prepare(_CIFAR[name], root, place)
    finally:
        lock.release()


_CIFAR = {"CIFAR10": cifar.CIFAR10, "CIFAR100": cifar.CIFAR100}


def _absolute(root: str | Path) -> Path:
    return Path(root).expanduser().absolute()


def _place(name: str, root: Path) -> Path:
    """The folder of a data set. Raises UserError with the known names."""
    if name in DATASETS:
        return root / name
    known = [*DATASETS, *folder.imported(root)]
    if name not in known:
        raise UserError(f"dataset must be one of {', '.join(known)}, got {name!r}")
    return folder.place(name, root)


def _ready(name: str, root: Path) -> Dataset | None:
    place = _place(name, root)
    try:
        return disk.read(place, name)
    except UserError:
        return None


def _state(name: str, root: Path) -> str:
    if _ready(name, root):
        return "ready"
    if name == "Digits":
        return "bundled"
    return "on disk" if cifar.on_disk(_CIFAR[name], root) else "download"
