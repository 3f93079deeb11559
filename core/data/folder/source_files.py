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

MAX_FILES = 1_500_000  # ImageNet has 1,331,167 with labels
MAX_UNPACKED_BYTES = 32 * 2**30
# Unpacked bytes per packed byte. Photographs have about 1, drawings up to about 50.
_MAX_PACKING_RATIO = 100
MAX_DIRECTORY_BYTES = 32 * 2**20  # of a zip file's table of contents
# Files that operating systems add. Names that begin with a dot are ignored as well.
_IGNORED_NAMES = {"__macosx", "thumbs.db", "desktop.ini"}
ZIP_ERRORS = (
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


@dataclass(frozen=True, slots=True)
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
        with open_zip(source) as archive:
            yield _list_zip(archive, source)


def _list_folder(source: Path) -> list[SourceFile]:
    files: list[SourceFile] = []
    # The names of folders, and where they are. A million files share them.
    waiting: list[tuple[tuple[str, ...], str]] = [((), str(source))]
    while waiting:
        outer, place = waiting.pop()
        for entry in _entries(place):
            if _is_ignored(entry.name):
                continue
            parts = (*outer, _compose_accents(entry.name))
            if entry.is_dir(follow_symlinks=False):
                waiting.append((parts, entry.path))
            elif _is_file(entry):
                files.append(SourceFile(parts, partial(_read_file, entry.path)))
        _check_count(len(files), source)
    return sorted(files, key=lambda file: file.parts)


def _entries(place: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(place) as entries:
            return list(entries)
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read ({error.strerror}).") from error


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Return whether it is a file, or a link to one: no pipe, and no device."""
    try:
        return entry.is_file()
    except OSError:  # as of links in a circle
        return False


def _check_count(count: int, source: Path) -> None:
    if count > MAX_FILES:
        raise UserError(f"{source} has more than {MAX_FILES:,} files.")


def _read_file(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return _read_within_limit(file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise UserError(f"it cannot be opened ({error.strerror})") from error


def _read_within_limit(file: IO[bytes], size: int) -> bytes:
    """Return the content of a file that says that it has `size` bytes."""
    # Memory for as much as is read is taken first, so that it is not asked for more than needed.
    data = file.read(min(size, MAX_PICTURE_BYTES) + 1)
    if len(data) > MAX_PICTURE_BYTES:
        raise UserError(f"it has more than {MAX_PICTURE_BYTES // 2**20} MB")
    return data


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in _IGNORED_NAMES


def _compose_accents(name: str) -> str:
    """Return the name in composed Unicode, so that the same class is the same text everywhere.

    macOS writes an accent as a character of its own.
    """
    return unicodedata.normalize("NFC", name)


class _ZipReader(io.BufferedReader):
    """A file that refuses to read a huge table of contents.

    `zipfile` reads the table at once, however long the file claims that it is.
    """

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile("its table of contents is too large")
        return super().read(size)


@contextlib.contextmanager
def open_zip(source: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip file within the block. Raises UserError if it is none."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(_ZipReader(io.FileIO(source)))
            archive = stack.enter_context(zipfile.ZipFile(file))
        except ZIP_ERRORS as error:
            raise UserError(
                f"{source} is neither a folder nor a zip file that can be read ({error})."
            ) from error
        yield archive


def _list_zip(archive: zipfile.ZipFile, source: Path) -> list[SourceFile]:
    members = [member for member in archive.infolist() if not member.is_dir()]
    _check_count(len(members), source)
    check_unpacked_size(members, source)
    files = []
    for member in members:
        parts = _safe_parts(member)
        if not any(_is_ignored(name) for name in parts):
            files.append(SourceFile(parts, partial(_read_member, archive, member)))
    return sorted(files, key=lambda file: file.parts)


def check_unpacked_size(
    members: list[zipfile.ZipInfo], source: Path, most: int = MAX_UNPACKED_BYTES
) -> None:
    """Raise UserError if the members have more than `most` bytes, or are packed too well."""
    unpacked = sum(member.file_size for member in members)
    plausible = max(_MAX_PACKING_RATIO * source.stat().st_size, MAX_PICTURE_BYTES)
    if unpacked > most or unpacked > plausible:
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
    return tuple(_compose_accents(part) for part in parts)


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(member) as file:
            return _read_within_limit(file, member.file_size)
    except ZIP_ERRORS as error:
        raise UserError(f"it cannot be unpacked ({error})") from error
