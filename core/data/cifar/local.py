"""Read CIFAR from official files on this machine: archives or folders, in either layout."""

import hashlib
import io
import pickle
import tarfile
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np

from core.data.cifar.facts import (
    PIXELS_PER_IMAGE,
    BatchFacts,
    Cifar,
    CifarBatch,
    Layout,
    Unavailable,
)
from core.data.imageset import Pixels
from core.events import Event, Progress

_CHUNK_BYTES = 2**22
MAX_MEMBER_BYTES = 2**28  # the largest official file has 155 million
READ_ERRORS = (OSError, EOFError, zlib.error, tarfile.TarError)


def official_files(facts: Cifar, root: Path) -> list[tuple[Path, Layout]]:
    """Return the archives and folders with official names, complete or not, and their layouts.

    They may lie in `root`, in its folder NAME, or in NAME/raw.
    """
    places = []
    for parent in (root, root / facts.name, root / facts.name / "raw"):
        for layout in (facts.binary, facts.python):
            for path in (parent / layout.folder, parent / layout.archive):
                if path.exists():
                    places.append((path, layout))
            files = [parent / f"{batch.name}{layout.suffix}" for batch in facts.batches]
            if all(file.is_file() for file in files):
                places.append((parent, layout))
    return places


def read_official(
    facts: Cifar, path: Path, layout: Layout
) -> Generator[Event | CifarBatch, None, None]:
    """Yield the batches of an official archive or folder, in any order. Raises Unavailable."""
    try:
        if path.is_dir():
            yield from _read_folder(facts, path, layout)
        else:
            yield from _read_archive(facts, path, layout)
    except READ_ERRORS as error:
        reason = str(error) or type(error).__name__
        raise Unavailable(f"it cannot be read ({reason})") from error


def _read_folder(facts: Cifar, folder: Path, layout: Layout) -> Iterator[Event | CifarBatch]:
    files = {batch: folder / f"{batch.name}{layout.suffix}" for batch in facts.batches}
    for path in files.values():
        if not path.is_file():
            raise Unavailable(f"{path.name} is missing there")
    total = sum(path.stat().st_size for path in files.values())
    done = 0
    for batch, path in files.items():
        data = bytearray()
        with path.open("rb") as file:
            while len(data) <= MAX_MEMBER_BYTES and (chunk := file.read(_CHUNK_BYTES)):
                data += chunk
                yield Progress(f"Reading {folder.name}", done + len(data), total, "bytes")
        done += len(data)
        yield _parse_batch(facts, batch, layout, bytes(data))


def _read_archive(facts: Cifar, path: Path, layout: Layout) -> Iterator[Event | CifarBatch]:
    """Yield the batches of a .tar.gz, whose members have exactly the official names.

    Nothing is extracted to disk.
    """
    missing = {f"{layout.folder}/{batch.name}{layout.suffix}": batch for batch in facts.batches}
    size = path.stat().st_size
    with path.open("rb") as raw_file, tarfile.open(fileobj=raw_file, mode="r:gz") as archive:
        for member in archive:
            check_member_size(member)
            name = member.name.removeprefix("./")
            file = archive.extractfile(member) if member.isreg() and name in missing else None
            if file is not None:
                data = bytearray()
                while chunk := file.read(_CHUNK_BYTES):
                    data += chunk
                    yield Progress(f"Unpacking {path.name}", raw_file.tell(), size, "bytes")
                yield _parse_batch(facts, missing.pop(name), layout, bytes(data))
            if not missing:
                return
    raise Unavailable(f"{next(iter(missing))} is missing in it")


def check_member_size(member: tarfile.TarInfo) -> None:
    """Raise Unavailable if an archive unpacks to far more than the official one."""
    if member.size > MAX_MEMBER_BYTES or member.offset > 4 * MAX_MEMBER_BYTES:
        raise Unavailable("it is not the official archive: it unpacks to far more")


def _parse_batch(facts: Cifar, batch: BatchFacts, layout: Layout, data: bytes) -> CifarBatch:
    """Return the records of one official file. Raises Unavailable if its form is another."""
    if layout is facts.python:
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        return CifarBatch(batch, _unpickle_records(facts, batch, data), md5)
    expected_bytes = batch.images * facts.record_bytes
    if len(data) != expected_bytes:
        raise Unavailable(f"{batch.name}.bin has {len(data):,} bytes instead of {expected_bytes:,}")
    return CifarBatch(batch, np.frombuffer(data, np.uint8).reshape(-1, facts.record_bytes))


def _unpickle_records(facts: Cifar, batch: BatchFacts, data: bytes) -> Pixels:
    try:
        table = {}
        for key, value in _ArrayUnpickler(io.BytesIO(data), encoding="bytes").load().items():
            table[key.decode() if isinstance(key, bytes) else key] = value
        labels = np.array([table[name] for name in facts.python_labels], np.uint8).T
        pixels = np.asarray(table["data"])
        if pixels.dtype != np.uint8 or pixels.shape != (batch.images, PIXELS_PER_IMAGE):
            raise ValueError(f"its images are {pixels.dtype} {pixels.shape}")
        return np.concatenate([labels, pixels], axis=1)
    # A forged pickle may raise anything.
    except Exception as error:
        raise Unavailable(f"{batch.name} is not an official Python batch ({error})") from error


def _encode_latin1(text: str, _encoding: str) -> bytes:
    """Return bytes from the text that Python 3 writes for them in old pickle protocols."""
    return text.encode("latin1")


class _ArrayUnpickler(pickle.Unpickler):
    """Reads dictionaries, lists, bytes, text, numbers and numpy arrays, and refuses all else."""

    def find_class(self, module: str, name: str) -> object:
        allowed: dict[str, object] = {
            "_reconstruct": np.empty(0).__reduce__()[0],
            "ndarray": np.ndarray,
            "dtype": np.dtype,
            "encode": _encode_latin1,
        }
        modules = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "_codecs")
        if module in modules and name in allowed:
            return allowed[name]
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
