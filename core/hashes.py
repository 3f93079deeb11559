"""Records the SHA-256 of files when they are written, and checks it when they are read.

A disk, a memory or a copy can change a bit without a word, and a network with one wrong bit still
gives answers. The hashes of a folder's files are in its `hashes.json`. It has its own entry, with
the hash of all other entries, so that a hash that is lost or changed is noticed too. Files of older
versions lack that entry.
"""

import hashlib
import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from core.errors import UserError
from core.files import Content, write_atomically

HASHES = "hashes.json"

FileState = Literal["intact", "damaged", "gone", "not recorded"]

_REMEMBERED = 1_000
"""The number of files whose hash this process remembers."""


class _FileHash(BaseModel):
    """The size in bytes and the SHA-256 of a file's content."""

    model_config = ConfigDict(frozen=True)

    size: int = Field(ge=0)
    sha256: str


_Hashes = dict[str, list[_FileHash]]
_HASHES = TypeAdapter(_Hashes)

_Identity = tuple[str, int, int, int]
_known: dict[_Identity, _FileHash] = {}
"""The hashes that this process has computed, by path, inode, size and time of the last change."""


def write_with_hash(path: Path, content: Content, lasting: bool = True) -> None:
    """Write a file as `write_atomically` does, and record its hash.

    The hash is recorded before the file appears, beside that of the file before. So whenever the
    process is killed, the file's hash is one of the two. Only one process may write into a folder
    at a time.
    """

    def record(temporary: Path) -> None:
        hashes = {name: kept for name, kept in _read(path.parent).items() if _exists(path, name)}
        before = hashes.get(path.name, [])
        written = _hash_of(temporary)
        hashes[path.name] = [*(kept for kept in before if kept == _found(path)), written]
        _known[_identity(path, temporary.stat())] = written
        hashes[HASHES] = [_hash_of_all(hashes)]
        text = _HASHES.dump_json(hashes, indent=1)
        write_atomically(path.parent / HASHES, text, lasting)

    write_atomically(path, content, lasting, before_rename=record)


def require_intact(path: Path) -> None:
    """Raise UserError if the file's hash is recorded and the file has another one.

    A file that was not changed since this process checked it is not read again.
    """
    if state_of(path) == "damaged":
        raise UserError(
            f"{path} is damaged: its content is not what was written (its SHA-256 differs). Bring"
            " it back from a copy, or make it again."
        )


def content_hash(path: Path) -> str:
    """Return the SHA-256 of the file, as 64 hexadecimal digits. Raises OSError if it is gone.

    A file that was not changed since this process computed it is not read again.
    """
    return _remembered_hash_of(path).sha256


def state_of(path: Path, afresh: bool = False) -> FileState:
    """Compare a file with its recorded hash.

    afresh: whether it is read again although this process has checked it before.
    """
    for _ in range(2):
        recorded = _read(path.parent).get(path.name, [])
        try:
            found = _hash_of(path) if afresh else _remembered_hash_of(path)
        except FileNotFoundError:
            return "gone"
        if not recorded:
            return "not recorded"
        if found in recorded:
            return "intact"
        # A worker may have replaced file and hash in this moment. The second time tells.
    return "damaged"


def recorded_files(folder: Path) -> list[Path]:
    """List the files of a folder whose hashes are recorded, whether they are there or not."""
    return [folder / name for name in _read(folder)]


def has_readable_hashes(folder: Path) -> bool:
    """Whether the hashes of the folder's files are as written, or none were ever recorded."""
    try:
        _read_strictly(folder)
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    return True


def _exists(path: Path, name: str) -> bool:
    return (path.parent / name).exists()


def _read(folder: Path) -> _Hashes:
    """Read the recorded hashes by file name. There are none if the file is damaged."""
    try:
        return _read_strictly(folder)
    except (OSError, ValueError):
        return {}


def _read_strictly(folder: Path) -> _Hashes:
    """Read the recorded hashes by file name. Raises OSError, and ValueError for a damaged file."""
    hashes = _HASHES.validate_json((folder / HASHES).read_bytes())
    own = hashes.pop(HASHES, None)
    if own is not None and own != [_hash_of_all(hashes)]:
        raise ValueError("hashes that were not written so")
    if not hashes:
        raise ValueError("no hashes, although each writing records one")
    return hashes


def _hash_of_all(hashes: _Hashes) -> _FileHash:
    """The hash of all entries, in any layout of the file."""
    content = _HASHES.dump_json(dict(sorted(hashes.items())))
    return _FileHash(size=len(content), sha256=hashlib.sha256(content).hexdigest())


def _remembered_hash_of(path: Path) -> _FileHash:
    identity = _identity(path, path.stat())
    known = _known.get(identity)
    if known is None:
        known = _hash_of(path)
        _known[identity] = known
        while len(_known) > _REMEMBERED:
            _known.pop(next(iter(_known)), None)
    return known


def _identity(path: Path, stat: os.stat_result) -> _Identity:
    return (str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns)


def _found(path: Path) -> _FileHash | None:
    """Return the hash of the file that is there now, None if there is none."""
    try:
        return _remembered_hash_of(path)
    except FileNotFoundError:
        return None


def _hash_of(path: Path) -> _FileHash:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return _FileHash(size=file.tell(), sha256=digest.hexdigest())
