"""The user's own images, one folder a class, as a folder or a zip -> the data set `Folder/<name>`."""

import hashlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.data.disk import Draft, cleared, take_lock, try_lock
from core.data.entries import Entry, listed, plain
from core.data.picture import open_picture, to_square
from core.errors import UserError
from core.events import Event, Note, Progress
from core.files import rename

PREFIX = "Folder/"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
RESERVED = re.compile(r"con|prn|aux|nul|com\d|lpt\d", re.IGNORECASE)  # no file names on Windows
TEST_FOLDERS = ("test", "val", "valid", "validation")  # the first of these that is there
TEST_SHARE = 0.2
MAX_CLASSES = 10_000
SIDES = range(8, 513)


@dataclass(frozen=True)
class _Sample:
    """A file, its class, and its side ("train" or "test") where the folders say so."""

    entry: Entry
    label: str
    split: str | None


@dataclass
class _Decoded:
    """What could be read, in the order of the scratch file: class, side and content hash of each image."""

    labels: list[str]
    splits: list[str | None]
    hashes: list[bytes]
    skipped: list[str]


def is_name(name: str) -> bool:
    """Whether `name` has the form of a folder data set's name."""
    return name.startswith(PREFIX) and bool(NAME.fullmatch(name.removeprefix(PREFIX)))


def place(name: str, root: Path) -> Path:
    """Where the data set `Folder/<name>` lies."""
    return root / "Folder" / name.removeprefix(PREFIX)


def imported(root: Path) -> list[str]:
    """The names of all folder data sets under `root`, also of damaged ones."""
    home = root / "Folder"
    names = sorted(f"{PREFIX}{path.name}" for path in home.iterdir() if path.is_dir()) if home.is_dir() else []
    return [name for name in names if is_name(name)]


def remove(name: str, root: str | Path) -> None:
    """Delete the data set `Folder/<name>`. Raises UserError if there is none or it is just being written."""
    root = Path(root)
    if not is_name(name) or not place(name, root).is_dir():
        known = ", ".join(imported(root)) or "those of imported data sets (there are none)"
        raise UserError(f"name must be one of {known}, got {name!r}")
    folder = place(name, root)
    if not (lock := try_lock(folder)):
        raise UserError(f"{name} is just being written by another process.")
    try:
        with cleared(folder.with_name(f".preparing-{folder.name}")) as bin_:
            rename(folder, bin_ / "removed")  # gone at once for everybody, then file by file
    finally:
        lock.release()


def import_folder(source: str | Path, root: str | Path, name: str, side: int = 32,
                  replace: bool = False) -> Iterator[Event]:
    """Make the data set `Folder/<name>` from `source`, a folder or a zip with one folder a class.

    Classes are sorted by name. `train/` and `test/` (or val, valid, validation) on top are kept. Otherwise a fixed
    fifth becomes the test set: the side is chosen by the hash of a file's content, so renaming or adding files moves
    no image, copies stay together, and every class with two different images has one on each side. Pictures are read
    by `open_picture`, their shorter side is resized to `side` pixels and the centre is cropped. Unreadable files are
    left out, named in a last Note and all listed in meta.json. Raises UserError, and OSError for a full disk.
    """
    source, root = Path(source).expanduser(), Path(root).expanduser().absolute()
    if not NAME.fullmatch(name) or RESERVED.fullmatch(name):
        raise UserError(f"name must be 1 to 64 letters, digits, - or _, got {name!r}")
    if side not in SIDES:
        raise UserError(f"side must be in [{SIDES.start}, {SIDES.stop - 1}] pixels, got {side}")
    folder = place(name, root)
    lock = yield from take_lock(folder, f"Waiting for another process that imports {name}")
    try:
        if folder.exists() and not replace:
            raise UserError(f"name must be new: there is already a data set {PREFIX}{name}, in {folder}.")
        with listed(source) as entries:
            samples, left_out = _arranged(entries, source)
            yield from _import(samples, folder, side, plain(str(source)))
        if left_out:
            yield Note(f"Files outside the class folders were left out: {left_out:,}.", level="warning")
    finally:
        lock.release()


def _arranged(entries: list[Entry], source: Path) -> tuple[list[_Sample], int]:
    """The files that lie in class folders, and how many do not."""
    paths = _unwrapped([(entry.parts, entry) for entry in entries])
    tops = {parts[0].lower(): parts[0] for parts, _ in paths if len(parts) > 2}
    test = next((tops[name] for name in TEST_FOLDERS if name in tops), None)
    if "train" in tops and test:
        splits = {tops["train"]: "train", test: "test"}
        samples = [_Sample(entry, parts[1], splits[parts[0]])
                   for parts, entry in paths if len(parts) > 2 and parts[0] in splits]
    else:
        samples = [_Sample(entry, parts[0], None) for parts, entry in paths if len(parts) > 1]
    classes = sorted({sample.label for sample in samples})
    if not samples:
        raise UserError(f"{source} holds no images in class folders: it takes one folder a class, with images in it.")
    if len(classes) == 1:
        raise UserError(f"{source} holds only one class folder, {classes[0]!r}: a classifier takes two or more.")
    if len(classes) > MAX_CLASSES:
        raise UserError(f"{source} holds {len(classes):,} class folders: up to {MAX_CLASSES:,} are taken.")
    odd = [label for label in classes if plain(label) != label or len(label) > 100]
    if odd:
        raise UserError(f"Class folders take names of up to 100 printable letters, got {odd[0][:100]!r}.")
    return sorted(samples, key=lambda sample: (sample.label, sample.entry.parts)), len(entries) - len(samples)


def _unwrapped(paths: list[tuple[tuple[str, ...], Entry]]) -> list[tuple[tuple[str, ...], Entry]]:
    """Without the folders around everything, as in pets.zip that holds pets/cat/1.png and pets/README.md."""
    while True:
        deep = [(parts[1:], entry) for parts, entry in paths if len(parts) > 2]
        if not deep or len({parts[0] for parts, _ in paths if len(parts) > 1}) > 1:
            return paths
        paths = deep


def _import(samples: list[_Sample], folder: Path, side: int, source: str) -> Iterator[Event]:
    with cleared(folder.with_name(f".preparing-{folder.name}.images")) as scratch:
        found = yield from _decode(samples, scratch / "images", side)
        classes, is_test = _divided(found)
        labels = np.searchsorted(classes, found.labels).astype(np.int64)
        images = np.memmap(scratch / "images", np.uint8, "r", shape=(len(labels), 3, side, side))
        order = np.array(sorted(range(len(labels)), key=lambda i: (labels[i], found.hashes[i])))
        with Draft(folder, side) as draft:
            rows = max(1, 2**23 // images[0].nbytes)
            for split, chosen in (("train", order[~is_test[order]]), ("test", order[is_test[order]])):
                for start in range(0, len(chosen), rows):
                    part = chosen[start:start + rows]
                    draft.add(split, images[part], labels[part])
                    yield Progress(f"Writing the {split} images", start + len(part), len(chosen), "images")
            del images  # Windows deletes no file that is mapped
            draft.commit(classes, source, augment=True, skipped=tuple(found.skipped))
    yield Note(f"{PREFIX}{folder.name} has {np.sum(~is_test):,} training and {np.sum(is_test):,} test images in "
               f"{len(classes):,} classes.")
    if found.skipped:
        yield Note(_unreadable(found.skipped, len(samples)), level="warning")


def _decode(samples: list[_Sample], path: Path, side: int) -> Iterator[Event]:
    """Write the square of every readable picture to `path`, one after the other; returns what they are."""
    found, told = _Decoded([], [], [], []), 0.0
    with path.open("wb") as file:
        for done, sample in enumerate(samples, 1):
            try:
                data = sample.entry.read()
                square = to_square(open_picture(data, shorter=2 * side), side)
            except UserError as error:
                found.skipped.append(f"{sample.entry}: {error}")
            else:
                file.write(square)
                found.labels.append(sample.label)
                found.splits.append(sample.split)
                found.hashes.append(hashlib.sha256(data).digest())
            if time.monotonic() - told > 0.2 or done == len(samples):
                told = time.monotonic()
                yield Progress("Reading images", done, len(samples), "images")
    if not found.labels:
        raise UserError(f"None of the {len(samples):,} files could be read as a picture; the first: {found.skipped[0]}")
    return found


def _unreadable(skipped: list[str], total: int) -> str:
    shown = "; ".join(text.rstrip(".") for text in skipped[:3])
    more = f"; and {len(skipped) - 3:,} more, all listed in meta.json" if len(skipped) > 3 else ""
    return f"{len(skipped):,} of {total:,} files could not be read and were left out: {shown}{more}."


def _divided(found: _Decoded) -> tuple[list[str], np.ndarray]:
    """The class names that have readable images, and for each image whether it is a test image."""
    classes = sorted(set(found.labels))
    if len(classes) == 1:
        raise UserError(f"Only the class {classes[0]!r} has images that can be read: a classifier takes two or more.")
    if found.splits[0] is None:
        is_test = _split_by_content(found.labels, found.hashes)
    else:
        is_test = np.array([split == "test" for split in found.splits])
        trained = {label for label, split in zip(found.labels, found.splits, strict=True) if split == "train"}
        lonely = [label for label in classes if label not in trained]
        if lonely:
            raise UserError(f"The class {lonely[0]!r} has test images but no training image that can be read.")
    if not is_test.any():
        raise UserError("No class has a second, different image to test on: give every class at least two.")
    return classes, is_test


def _split_by_content(labels: list[str], hashes: list[bytes]) -> np.ndarray:
    """Whether each image is a test image: by its hash alone, but for one in a class that would be on one side."""
    test_of: dict[tuple[str, bytes], bool] = {}
    of_class: dict[str, set[bytes]] = {}
    for label, content in zip(labels, hashes, strict=True):
        of_class.setdefault(label, set()).add(content)
        test_of[label, content] = int.from_bytes(content[:8], "big") < TEST_SHARE * 2**64
    for label, contents in of_class.items():
        sides = {test_of[label, content] for content in contents}
        if len(contents) > 1 and sides == {False}:
            test_of[label, min(contents)] = True
        elif sides == {True}:
            test_of[label, max(contents)] = False
    return np.array([test_of[key] for key in zip(labels, hashes, strict=True)])
