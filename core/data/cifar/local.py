"""CIFAR from official files that already lie on this machine: archives and folders, binary and Python layout."""

import hashlib
import io
import pickle
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from core.data.cifar.facts import PIXELS, Batch, BatchFacts, Cifar, Layout, Unavailable
from core.events import Event, Progress

CHUNK = 2**22
LARGEST = 2**28  # bytes; the largest official file has 155 million
UNREADABLE = (OSError, EOFError, zlib.error, tarfile.TarError)


def candidates(facts: Cifar, root: Path) -> list[tuple[Path, Layout]]:
    """The official archives and folders under `root`, or in its `<name>` or `<name>/raw`; whole or not."""
    found = []
    for place in (root, root / facts.name, root / facts.name / "raw"):
        for layout in (facts.binary, facts.python):
            loose = all((place / f"{batch.name}{layout.suffix}").is_file() for batch in facts.batches)
            found += [(path, layout) for path in (place / layout.folder, place / layout.archive) if path.exists()]
            found += [(place, layout)] if loose else []
    return found


def read(facts: Cifar, path: Path, layout: Layout) -> Iterator[Event | Batch]:
    """The batches in an official archive or folder, in any order. Raises Unavailable."""
    source = _from_folder(facts, path, layout) if path.is_dir() else from_archive(facts, path, layout)
    try:
        yield from source
    except UNREADABLE as error:
        raise Unavailable(f"it cannot be read ({error or type(error).__name__})") from error


def _from_folder(facts: Cifar, folder: Path, layout: Layout) -> Iterator[Event | Batch]:
    files = {batch: folder / f"{batch.name}{layout.suffix}" for batch in facts.batches}
    missing = [file.name for file in files.values() if not file.is_file()]
    if missing:
        raise Unavailable(f"{missing[0]} is missing there")
    done, total = 0, sum(file.stat().st_size for file in files.values())
    for batch, path in files.items():
        with path.open("rb") as file:
            data = bytearray()
            while len(data) <= LARGEST and (chunk := file.read(CHUNK)):
                data += chunk
                yield Progress(f"Reading {folder.name}", done + len(data), total, "bytes")
        done += len(data)
        yield decode(facts, batch, layout, bytes(data))


def from_archive(facts: Cifar, path: Path, layout: Layout) -> Iterator[Event | Batch]:
    """The batches in a .tar.gz: members with exactly the official names, read in place; nothing is extracted."""
    wanted = {f"{layout.folder}/{batch.name}{layout.suffix}": batch for batch in facts.batches}
    size = path.stat().st_size
    with path.open("rb") as raw, tarfile.open(fileobj=raw, mode="r:gz") as tar:
        for member in tar:
            if member.size > LARGEST or member.offset > 4 * LARGEST:
                raise Unavailable("it is not the official archive: it unpacks to far more")
            batch = wanted.pop(member.name.removeprefix("./"), None) if member.isreg() else None
            if batch:
                file, data = tar.extractfile(member), bytearray()
                while chunk := file.read(CHUNK):
                    data += chunk
                    yield Progress(f"Unpacking {path.name}", raw.tell(), size, "bytes")
                yield decode(facts, batch, layout, bytes(data))
            if not wanted:
                return
    raise Unavailable(f"{next(iter(wanted))} is missing in it")


def decode(facts: Cifar, batch: BatchFacts, layout: Layout, data: bytes) -> Batch:
    """One official file as records. Raises Unavailable if its form is not the official one."""
    if layout is facts.python:
        return Batch(batch, _unpickle(facts, batch, data), hashlib.md5(data, usedforsecurity=False).hexdigest())
    width = facts.label_bytes + PIXELS
    if len(data) != batch.images * width:
        raise Unavailable(f"{batch.name}.bin has {len(data):,} bytes instead of {batch.images * width:,}")
    return Batch(batch, np.frombuffer(data, np.uint8).reshape(-1, width))


def _unpickle(facts: Cifar, batch: BatchFacts, data: bytes) -> np.ndarray:
    try:
        table = _ArraysOnly(io.BytesIO(data), encoding="bytes").load()
        table = {key.decode() if isinstance(key, bytes) else key: value for key, value in table.items()}
        labels = np.array([table[name] for name in facts.python_labels], np.uint8).T
        pixels = np.asarray(table["data"])
        if pixels.dtype != np.uint8 or pixels.shape != (batch.images, PIXELS):
            raise ValueError(f"its images are {pixels.dtype} {pixels.shape}")
        return np.concatenate([labels, pixels], axis=1)
    except Exception as error:  # a forged pickle raises anything at all
        raise Unavailable(f"{batch.name} is not an official Python batch ({error})") from error


class _ArraysOnly(pickle.Unpickler):
    """Dictionaries, lists, bytes, text, numbers and numpy arrays; any other class or function is refused."""

    def find_class(self, module: str, name: str) -> object:
        allowed = {
            "_reconstruct": np.empty(0).__reduce__()[0],
            "ndarray": np.ndarray,
            "dtype": np.dtype,
            "encode": lambda text, _encoding: text.encode("latin1"),  # how Python 3 writes bytes in old protocols
        }
        if module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "_codecs") and name in allowed:
            return allowed[name]
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
