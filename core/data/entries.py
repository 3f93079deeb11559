"""The files of a folder or of a zip that somebody uploaded, listed and read under limits; nothing is extracted."""

import contextlib
import io
import lzma
import os
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from core.data.picture import MAX_BYTES
from core.errors import UserError

MAX_FILES = 300_000
MAX_UNPACKED = 32 * 2**30  # bytes in all
MAX_RATIO = 100  # unpacked to packed; photographs stay near 1, drawings may come to 50
MAX_DIRECTORY = 32 * 2**20  # bytes of a zip's table of contents
IGNORED = {"__macosx", "thumbs.db", "desktop.ini"}
DAMAGED = (OSError, ValueError, EOFError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error, lzma.LZMAError)


@dataclass(frozen=True)
class Entry:
    """`parts`: the folders and the name, below the source; `read()` gives the bytes or raises UserError."""

    parts: tuple[str, ...]
    read: Callable[[], bytes]

    def __str__(self) -> str:
        return plain("/".join(self.parts))


def plain(text: str) -> str:
    """Without line breaks, control characters and bytes that are no text, which file names may hold."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


@contextlib.contextmanager
def listed(source: Path) -> Iterator[list[Entry]]:
    """All files in `source`, but for hidden ones, links to folders and what systems leave behind, in sorted order.

    Raises UserError, in one sentence, for what is neither a folder nor a zip, and for a zip that is hostile.
    """
    if source.is_dir():
        yield _in_folder(source)
    elif not source.exists():
        raise UserError(f"source must be a folder or a zip file, got {source}, which does not exist.")
    else:
        with _opened(source) as archive:
            yield _in_zip(archive, source)


def _in_folder(source: Path) -> list[Entry]:
    entries = []
    for folder, folders, files in os.walk(source, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not _is_ignored(name))
        for name in sorted(files):
            path = Path(folder, name)
            if not _is_ignored(name) and path.is_file():  # no pipe, no device
                entries.append(Entry(_parts(path.relative_to(source).parts), partial(_read_file, path)))
                _refuse_if_many(len(entries), source)
    return entries


def _refuse(error: OSError) -> None:
    raise UserError(f"{error.filename} cannot be read ({error.strerror}).") from error


def _refuse_if_many(count: int, source: Path) -> None:
    if count > MAX_FILES:
        raise UserError(f"{source} has more than {MAX_FILES:,} files.")


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return _bounded(file)
    except OSError as error:
        raise UserError(f"it cannot be opened ({error.strerror})") from error


def _bounded(file: io.BufferedIOBase) -> bytes:
    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UserError(f"it has more than {MAX_BYTES // 2**20} MB")
    return data


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in IGNORED


def _parts(names: tuple[str, ...]) -> tuple[str, ...]:
    """Composed Unicode: macOS writes an accent as a letter of its own, and the same class must be the same text."""
    return tuple(unicodedata.normalize("NFC", name) for name in names)


class _Careful(io.BufferedReader):
    """`zipfile` reads the table of contents at once, however large it claims to be."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > MAX_DIRECTORY:
            raise zipfile.BadZipFile("its table of contents is too large")
        return super().read(size)


@contextlib.contextmanager
def _opened(source: Path) -> Iterator[zipfile.ZipFile]:
    with contextlib.ExitStack() as stack:
        try:
            archive = stack.enter_context(zipfile.ZipFile(stack.enter_context(_Careful(io.FileIO(source)))))
        except (*DAMAGED, NotImplementedError) as error:
            raise UserError(f"{source} is neither a folder nor a zip file that can be read ({error}).") from error
        yield archive


def _in_zip(archive: zipfile.ZipFile, source: Path) -> list[Entry]:
    members = [info for info in archive.infolist() if not info.is_dir()]
    _refuse_if_many(len(members), source)
    unpacked = sum(info.file_size for info in members)
    if unpacked > MAX_UNPACKED or unpacked > max(MAX_RATIO * source.stat().st_size, MAX_BYTES):
        raise UserError(f"{source} would unpack to {unpacked / 1e6:,.0f} MB, which is not plausible for images.")
    entries = [Entry(_safe_parts(info), partial(_read_member, archive, info)) for info in members]
    return sorted((entry for entry in entries if not any(map(_is_ignored, entry.parts))), key=lambda entry: entry.parts)


def _safe_parts(info: zipfile.ZipInfo) -> tuple[str, ...]:
    name = info.orig_filename
    parts = name.split("/")
    if ("\\" in name or "\0" in name or re.match(r"[A-Za-z]:", name) or any(part in ("", ".", "..") for part in parts)):
        raise UserError(f"The zip holds a file with a forbidden path, {name[:100]!r}.")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise UserError(f"The zip holds a link, {name[:100]!r}; links are not allowed.")
    if info.flag_bits & 0x1:
        raise UserError("The zip is encrypted.")
    return _parts(tuple(parts))


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(info) as file:
            return _bounded(file)
    except (*DAMAGED, NotImplementedError) as error:
        raise UserError(f"it cannot be unpacked ({error})") from error
