"""The files that hold weights: what safetensors and torch.save write, read from bytes that nobody vouches for."""

import io
import json
import re
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from core.errors import UserError
from core.models.pickles import MAX_BYTES as MAX_PICKLE
from core.models.pickles import claimed, look_through

MAX_HEADER = 16 * 2**20  # bytes of a safetensors header, and of a zip's table of contents
TIES = 4  # times that the bytes of a file may be used, by tensors that share them

_LEGACY = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")  # torch.save before 1.6: a pickle of its magic number
_ZIP = b"PK\x03\x04"


def content(path: Path, name: str) -> object:
    """Whatever the file at `path` holds, by its bytes and not by its name; `name` is what errors call it.

    Tensors may lie in the mapped file, and may be as odd as torch allows. Raises UserError for a file that is damaged,
    hostile, or no checkpoint.
    """
    with refusing(name):
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(16)
        if start.startswith(_ZIP):
            return _from_zip(path, size, name)
        if start.startswith(_LEGACY):
            return _from_legacy(path, size, name)
        if is_safetensors(path):
            return _from_safetensors(path)
        raise _stranger(path, start, name)


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Whatever is wrong with somebody else's bytes, in one sentence; parsers raise all kinds of things."""
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror or error}.") from error
    except Exception as error:
        raise UserError(f"{name} is damaged, or is no checkpoint; save or download it again.") from error


@contextmanager
def as_file(source: bytes | Path) -> Iterator[Path]:
    """The path itself, or that of a file with these bytes, for as long as the context lasts."""
    if isinstance(source, Path):
        yield source
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "checkpoint"
        path.write_bytes(source)
        yield path


# -- safetensors ----------------------------------------------------------------------------------------------------

def is_safetensors(path: Path) -> bool:
    """Whether the file begins as such a file does: with the length of a header of JSON."""
    with path.open("rb") as file:
        start = file.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") <= path.stat().st_size - 8


def metadata(path: Path, name: str) -> dict[str, str]:
    """What else the header of a safetensors file says; nothing for another file. Raises UserError if it is damaged."""
    with refusing(name):
        found = _header(path).get("__metadata__", {}) if is_safetensors(path) else {}
        return {key: str(value) for key, value in found.items()}


def _header(path: Path) -> dict:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MAX_HEADER:
            raise ValueError("a header that is too long")
        return json.loads(file.read(length), object_pairs_hook=_once)


def _once(pairs: list[tuple[str, object]]) -> dict:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("names that repeat")
    return dict(pairs)


def _from_safetensors(path: Path) -> dict:
    from safetensors.torch import load_file

    _header(path)
    tensors = load_file(path)
    return {key: tensors[key] for key in sorted(tensors, key=_numbers_by_value)}


def _numbers_by_value(name: str) -> list:
    """So that features.2 comes before features.10."""
    return [(part.isdecimal(), int(part) if part.isdecimal() else part) for part in re.split(r"(\d{1,9})", name)]


# -- torch.save -----------------------------------------------------------------------------------------------------

def _from_zip(path: Path, size: int, name: str) -> object:
    """torch.save since 1.6: a zip that compresses nothing, with a pickle and a member for every storage.

    It is mapped, so that a storage gets the bytes that are there, and not those that it claims.
    """
    with _Bounded(io.FileIO(path)) as file, zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if any(member.filename.endswith("/constants.pkl") for member in members):
            raise UserError(f"{name} contains code, not only weights (it is a TorchScript program): save the network's "
                            "state_dict() alone.")
        unpacked = sum(member.file_size for member in members)
        if unpacked > size:
            raise UserError(f"{name} has {size / 1e6:,.1f} MB and would unpack to {unpacked / 1e6:,.1f} MB, which "
                            "nothing does that torch.save wrote.")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise UserError(f"{name} is a compressed zip, and torch.save compresses nothing: unpack it first.")
        pickled = [member for member in members if member.filename.endswith("/data.pkl")]
        if len(pickled) != 1:
            raise UserError(f"{name} is a zip, but none that torch.save wrote.")
        look_through(io.BytesIO(archive.read(pickled[0])), name)
    with as_file(path.read_bytes() if path.suffix == ".safetensors" else path) as path:  # torch believes that name
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


class _Bounded(io.BufferedReader):
    """`zipfile` reads the table of contents at once, however large it claims to be."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > MAX_HEADER:
            raise zipfile.BadZipFile("a part that is too large")
        return super().read(size)


def _from_legacy(path: Path, size: int, name: str) -> object:
    """torch.save before 1.6: pickles of its magic number, a version, the system, the content and the storages' keys;
    then the storages, whose memory is taken as the content says."""
    stream = io.BytesIO(path.read_bytes())
    for _ in range(3):
        look_through(stream, name)
    begin = stream.tell()
    look_through(stream, name)
    look_through(stream, name)
    stream.seek(begin)
    if claimed(stream) > TIES * size:
        raise UserError(f"{name} claims to hold more numbers than its {size / 1e6:,.1f} MB can.")
    stream.seek(0)
    return torch.load(stream, map_location="cpu", weights_only=True)


def _stranger(path: Path, start: bytes, name: str) -> UserError:
    """Why a file that begins like no checkpoint is refused. A bare pickle may be hostile, and says what it asks for."""
    if start[:1] not in (b"\x80", b"c", b"("):
        return UserError(f"{name} is no checkpoint: neither a safetensors file nor one that torch.save wrote.")
    with path.open("rb") as file:
        look_through(io.BytesIO(file.read(MAX_PICKLE)), name)
    return UserError(f"{name} is a bare pickle: save the network's state_dict() with torch.save.")
