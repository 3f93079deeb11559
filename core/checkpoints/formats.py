"""Reads the file formats that hold weights: safetensors, and both formats of torch.save.

The files come from anybody. Only `torch.load(weights_only=True)` unpickles them, and only after
`core.checkpoints.pickles` has checked the pickle.
"""

import io
import re
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from core.checkpoints.pickles import MAX_PICKLE_BYTES, check_pickle, count_claimed_values
from core.errors import UserError
from core.models.tensor_file import read_header

MAX_DIRECTORY = 16 * 2**20
"""The largest table of contents of a zip file that is read, in bytes."""

MAX_REUSE = 4
"""How many times the bytes of a file may be used, by tensors that share memory."""

_ZIP_START = b"PK\x03\x04"
_LEGACY_START = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")
"""The first bytes of torch.save before version 1.6: a pickle of its magic number."""


def read_content(path: Path, name: str) -> object:
    """Read the content of the file at `path`; errors call the file `name`.

    The format is recognised by the file's bytes, not by its name. Tensors may lie in the mapped
    file, and may be of any kind. Raises UserError for a file that is damaged, hostile or no
    checkpoint.
    """
    with damage_as_user_error(name):
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(16)
        if start.startswith(_ZIP_START):
            return _read_zip(path, size, name)
        if start.startswith(_LEGACY_START):
            return _read_legacy(path, size, name)
        if is_safetensors(path):
            return _read_safetensors(path)
        raise _unknown_format(path, start, name)


@contextmanager
def damage_as_user_error(name: str) -> Iterator[None]:
    """Turn every error into a UserError that says in one sentence that the file `name` is damaged.

    Every kind of exception is caught: parsers raise many kinds for damaged files.
    """
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror or error}.") from error
    except Exception as error:
        raise UserError(
            f"{name} is damaged, or is no checkpoint; save or download it again."
        ) from error


@contextmanager
def as_file(source: bytes | Path) -> Iterator[Path]:
    """Give the path itself, or for bytes that of a temporary file, deleted after the context."""
    if isinstance(source, Path):
        yield source
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "checkpoint"
        path.write_bytes(source)
        yield path


# -- safetensors --


def is_safetensors(path: Path) -> bool:
    """Whether the file begins with the length of a header and a JSON object."""
    with path.open("rb") as file:
        start = file.read(9)
    header_length = int.from_bytes(start[:8], "little")
    return start[8:] == b"{" and header_length <= path.stat().st_size - 8


def read_metadata(path: Path, name: str) -> dict[str, str]:
    """Read the metadata of a safetensors file; a file of another format has none.

    Raises UserError if the file is damaged.
    """
    with damage_as_user_error(name):
        return read_header(path).metadata if is_safetensors(path) else {}


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors, in the order of their names, with features.2 before features.10."""
    from safetensors.torch import load_file

    read_header(path)  # raises for a header that the library accepts but should not
    tensors = load_file(path)
    return {name: tensors[name] for name in sorted(tensors, key=_name_order)}


def _name_order(name: str) -> list[tuple[bool, int | str]]:
    """Return a key to sort names by, in which numbers count by their value."""
    parts = re.split(r"(\d{1,9})", name)
    return [(True, int(part)) if part.isdecimal() else (False, part) for part in parts]


# -- torch.save --


def _read_zip(path: Path, size: int, name: str) -> object:
    """Read what torch.save writes since version 1.6.

    That is a zip file without compression, with one pickle and a member for each storage. The file
    is mapped: then a storage gets the bytes that exist, not those that the pickle claims.
    """
    with _BoundedReader(io.FileIO(path)) as file, zipfile.ZipFile(file) as archive:
        _check_members(archive.infolist(), size, name)
        pickled = _only_pickle(archive.infolist(), name)
        check_pickle(io.BytesIO(archive.read(pickled)), name)
    # torch.load reads any file of this name as safetensors, so it gets a copy under another name.
    source = path.read_bytes() if path.suffix == ".safetensors" else path
    with as_file(source) as torch_path:
        return torch.load(torch_path, map_location="cpu", weights_only=True, mmap=True)


class _BoundedReader(io.BufferedReader):
    """A file that refuses to read much at once.

    `zipfile` reads the table of contents in one piece, of whatever size the file claims.
    """

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > MAX_DIRECTORY:
            raise zipfile.BadZipFile("a part that is too large")
        return super().read(size)


def _check_members(members: list[zipfile.ZipInfo], size: int, name: str) -> None:
    """Check that torch.save may have written the zip file of `size` bytes. Raises UserError."""
    if any(member.filename.endswith("/constants.pkl") for member in members):
        raise UserError(
            f"{name} contains code, not only weights (it is a TorchScript program): save the"
            " network's state_dict() alone."
        )
    unpacked = sum(member.file_size for member in members)
    if unpacked > size:
        raise UserError(
            f"{name} has {size / 1e6:,.1f} MB and would unpack to {unpacked / 1e6:,.1f} MB, which"
            " no file of torch.save does."
        )
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise UserError(
            f"{name} is a compressed zip, and torch.save compresses nothing: unpack it first."
        )


def _only_pickle(members: list[zipfile.ZipInfo], name: str) -> zipfile.ZipInfo:
    pickled = [member for member in members if member.filename.endswith("/data.pkl")]
    if len(pickled) != 1:
        raise UserError(f"{name} is a zip, but torch.save did not write it.")
    return pickled[0]


def _read_legacy(path: Path, size: int, name: str) -> object:
    """Read what torch.save wrote before version 1.6.

    That is five pickles (magic number, version, system, content, keys of the storages), then the
    storages. torch.load allocates as much memory as the content claims, so that is checked first.
    """
    stream = io.BytesIO(path.read_bytes())
    for _ in range(3):
        check_pickle(stream, name)
    content_start = stream.tell()
    check_pickle(stream, name)
    check_pickle(stream, name)
    stream.seek(content_start)
    if count_claimed_values(stream) > MAX_REUSE * size:
        raise UserError(f"{name} claims to hold more numbers than its {size / 1e6:,.1f} MB can.")
    stream.seek(0)
    return torch.load(stream, map_location="cpu", weights_only=True)


def _unknown_format(path: Path, start: bytes, name: str) -> UserError:
    """Say why a file is refused that begins like no checkpoint.

    It may be a bare pickle. That is checked first, to name the code that it would run.
    """
    pickle_starts = (b"\x80", b"c", b"(")
    if not start.startswith(pickle_starts):
        return UserError(
            f"{name} is no checkpoint: neither a safetensors file nor one that torch.save wrote."
        )
    with path.open("rb") as file:
        check_pickle(io.BytesIO(file.read(MAX_PICKLE_BYTES)), name)
    return UserError(f"{name} is a bare pickle: save the network's state_dict() with torch.save.")
