"""List and read the files of a folder or of an uploaded zip file, within limits.

Nothing is extracted from a zip file.
"""

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
from typing import IO

from core.data.picture import MAX_PICTURE_BYTES
from core.errors import UserError

MAX_FILES = 300_000
_MAX_UNPACKED_BYTES = 32 * 2**30
# Unpacked bytes per packed byte. Photographs have about 1, drawings up to about 50.
_MAX_PACKING_RATIO = 100
MAX_DIRECTORY_BYTES = 32 * 2**20  # of a zip file's table of contents
# Files that operating systems add. Names that begin with a dot are ignored as well.
_IGNORED_NAMES = {"__macosx", "thumbs.db", "desktop.ini"}
_ZIP_ERRORS = (
    OSError,
    ValueError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


@dataclass(frozen=True)
class SourceFile:
    """A file of the source.

    parts: the names of its folders within the source, and its own name.
    read: a function that returns its bytes, or raises UserError.
    """

    parts: tuple[str, ...]
    read: Callable[[], bytes]

    def __str__(self) -> str:
        return printable("/".join(self.parts))


def printable(text: str) -> str:
    """Return a file name with a replacement character for each character that cannot be printed.

    File names may hold line breaks, control characters and bytes that are no text.
    """
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


@contextlib.contextmanager
def list_source(source: Path) -> Iterator[list[SourceFile]]:
    """List all files in `source`, sorted by name; they can be read within the block.

    Hidden files, links to folders, and files that operating systems add are left out. Raises
    UserError, in one sentence, if the source is neither a folder nor a zip file, or if the zip file
    is hostile.
    """
    if source.is_dir():
        yield _list_folder(source)
    elif not source.exists():
        raise UserError(
            f"source must be a folder or a zip file, got {source}, which does not exist."
        )
    else:
        with _open_zip(source) as archive:
            yield _list_zip(archive, source)


def _list_folder(source: Path) -> list[SourceFile]:
    files = []
    for folder, folder_names, file_names in os.walk(source, onerror=_raise_unreadable):
        folder_names[:] = sorted(name for name in folder_names if not _is_ignored(name))
        for name in sorted(file_names):
            path = Path(folder, name)
            # Pipes and devices are no files.
            if _is_ignored(name) or not path.is_file():
                continue
            parts = _compose_accents(path.relative_to(source).parts)
            files.append(SourceFile(parts, partial(_read_file, path)))
            _check_count(len(files), source)
    return files


def _raise_unreadable(error: OSError) -> None:
    raise UserError(f"{error.filename} cannot be read ({error.strerror}).") from error


def _check_count(count: int, source: Path) -> None:
    if count > MAX_FILES:
        raise UserError(f"{source} has more than {MAX_FILES:,} files.")


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return _read_within_limit(file)
    except OSError as error:
        raise UserError(f"it cannot be opened ({error.strerror})") from error


def _read_within_limit(file: IO[bytes]) -> bytes:
    data = file.read(MAX_PICTURE_BYTES + 1)
    if len(data) > MAX_PICTURE_BYTES:
        raise UserError(f"it has more than {MAX_PICTURE_BYTES // 2**20} MB")
    return data


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in _IGNORED_NAMES


def _compose_accents(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names in composed Unicode, so that the same class is the same text everywhere.

    macOS writes an accent as a character of its own.
    """
    return tuple(unicodedata.normalize("NFC", name) for name in names)


class _ZipReader(io.BufferedReader):
    """A file that refuses to read a huge table of contents.

    `zipfile` reads the table at once, however long the file claims that it is.
    """

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile("its table of contents is too large")
        return super().read(size)


@contextlib.contextmanager
def _open_zip(source: Path) -> Iterator[zipfile.ZipFile]:
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(_ZipReader(io.FileIO(source)))
            archive = stack.enter_context(zipfile.ZipFile(file))
        except _ZIP_ERRORS as error:
            raise UserError(
                f"{source} is neither a folder nor a zip file that can be read ({error})."
            ) from error
        yield archive


def _list_zip(archive: zipfile.ZipFile, source: Path) -> list[SourceFile]:
    members = [member for member in archive.infolist() if not member.is_dir()]
    _check_count(len(members), source)
    _check_unpacked_size(members, source)
    files = []
    for member in members:
        parts = _safe_parts(member)
        if not any(_is_ignored(name) for name in parts):
            files.append(SourceFile(parts, partial(_read_member, archive, member)))
    return sorted(files, key=lambda file: file.parts)


def _check_unpacked_size(members: list[zipfile.ZipInfo], source: Path) -> None:
    unpacked = sum(member.file_size for member in members)
    plausible = max(_MAX_PACKING_RATIO * source.stat().st_size, MAX_PICTURE_BYTES)
    if unpacked > _MAX_UNPACKED_BYTES or unpacked > plausible:
        raise UserError(
            f"{source} would unpack to {unpacked / 1e6:,.0f} MB, which is not plausible for images."
        )


def _safe_parts(member: zipfile.ZipInfo) -> tuple[str, ...]:
    """Return the folders and the name of a member. Raises UserError for a hostile member."""
    name = member.orig_filename
    parts = name.split("/")
    has_forbidden_part = any(part in ("", ".", "..") for part in parts)
    has_drive = re.match(r"[A-Za-z]:", name) is not None
    if has_forbidden_part or has_drive or "\\" in name or "\0" in name:
        raise UserError(f"The zip holds a file with a forbidden path, {name[:100]!r}.")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise UserError(f"The zip holds a link, {name[:100]!r}; links are not allowed.")
    is_encrypted = member.flag_bits & 0x1
    if is_encrypted:
        raise UserError("The zip is encrypted.")
    return _compose_accents(tuple(parts))


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(member) as file:
            return _read_within_limit(file)
    except _ZIP_ERRORS as error:
        raise UserError(f"it cannot be unpacked ({error})") from error
