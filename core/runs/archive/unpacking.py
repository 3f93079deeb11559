"""Unpacks the zip of a run from anybody. It runs in a child process with limits.

Only names that a run's folder can have are unpacked, so that no path leads out of the folder.
"""

import contextlib
import hashlib
import io
import os
import stat
import zipfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from core.data.folder.source_files import ZIP_ERRORS, printable
from core.errors import UserError
from core.events import Event, Progress
from core.runs.archive.contents import check_contents
from core.runs.archive.layout import (
    FORMAT,
    MANIFEST,
    MOST_FILES,
    VERSION,
    FileFacts,
    Manifest,
    largest_bytes,
)
from core.runs.listing import RUN_ID

_MOST_AT_ONCE = 2**23
"""The most bytes that are read in one piece: the zip's table of contents, for one."""

_CHUNK_BYTES = 2**20

_Members = dict[str, zipfile.ZipInfo]


def unpack_run(source: str, name: str, folder: str) -> Generator[Event, None, dict[str, Any]]:
    """Unpack the zip `source` into the empty folder `folder`, and check everything in it.

    name: what errors call the zip. Returns the manifest as plain data. Raises UserError, in one
    sentence, for a zip that is damaged, hostile, or holds no run.
    """
    path = Path(source)
    with _opened(path, name) as archive:
        members = _checked_members(archive.infolist(), path.stat().st_size, name)
        manifest = _read_manifest(archive, members.pop(MANIFEST), name)
        _compare_names(members, manifest, name)
        yield from _unpack(archive, members, manifest, Path(folder))
    yield from check_contents(Path(folder), manifest.run, name)
    return manifest.model_dump(exclude={"files"})


class _BoundedReader(io.BufferedReader):
    """A file that refuses to read much at once.

    `zipfile` reads the table of contents in one piece, of whatever size the file claims.
    """

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > _MOST_AT_ONCE:
            raise zipfile.BadZipFile("a part of it is too large")
        return super().read(size)


@contextlib.contextmanager
def _opened(path: Path, name: str) -> Iterator[zipfile.ZipFile]:
    """Open the zip within the block. Raises UserError for it, and for every damage inside."""
    try:
        with _BoundedReader(io.FileIO(path)) as file, zipfile.ZipFile(file) as archive:
            yield archive
    except ZIP_ERRORS as error:
        reason = " ".join(printable(str(error)).split())[:100] or type(error).__name__
        raise UserError(
            f"{name} is no zip, or is damaged ({reason}): copy or export it again."
        ) from error


def _checked_members(members: list[zipfile.ZipInfo], size: int, name: str) -> _Members:
    """Return the members by their names in the run's folder. Raises UserError for a hostile one."""
    if len(members) > MOST_FILES:
        raise UserError(f"{name} holds more than {MOST_FILES:,} files, which no run has.")
    checked: _Members = {}
    for member in members:
        _check_kind(member, name)
        place = _place_of(member, name)
        if place in checked:
            raise UserError(f"{name} holds {_shown(member)} twice.")
        checked[place] = member
    if sum(member.file_size for member in members) > size:
        raise UserError(
            f"{name} would unpack to more than its own size, which no zip of Secateur does."
        )
    folders = {member.filename.partition("/")[0] for member in members} - {MANIFEST}
    if MANIFEST not in checked or len(folders) != 1:
        raise UserError(f"{name} is a zip, but not of one run: choose one that Secateur exported.")
    return checked


def _check_kind(member: zipfile.ZipInfo, name: str) -> None:
    """Raise UserError for anything but a plain file that is neither compressed nor encrypted."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise UserError(f"{name} holds a link, or another file that is none: {_shown(member)}.")
    if member.flag_bits & 0x1:
        raise UserError(f"{name} is encrypted: export the run again.")
    if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
        raise UserError(
            f"{name} is compressed, which Secateur's own are not: choose the zip as it was exported"
            ", not one that was packed again."
        )


def _place_of(member: zipfile.ZipInfo, name: str) -> str:
    """Return the member's name in the run's folder. Raises UserError if it does not belong."""
    # Beyond a zero byte, `filename` lacks what `orig_filename` has.
    folder, _, place = member.orig_filename.partition("/")
    if member.orig_filename == MANIFEST:
        place = MANIFEST
    elif not RUN_ID.fullmatch(folder) or place == MANIFEST:
        place = ""
    most = largest_bytes(place)
    if not most:
        raise UserError(f"{name} holds {_shown(member)}, which does not belong to a run.")
    if member.file_size > most:
        raise UserError(f"{name} holds {_shown(member)} with more than {most / 1e6:,.0f} MB.")
    return place


def _shown(member: zipfile.ZipInfo) -> str:
    return f"“{printable(member.orig_filename)[:80]}”"


def _read_manifest(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> Manifest:
    with archive.open(member) as file:
        content = file.read(member.file_size)
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        raise UserError(f"{name} is damaged: its {MANIFEST} cannot be read.") from error
    if manifest.format != FORMAT or manifest.version != VERSION:
        raise UserError(
            f"{name} was written in version {manifest.version} of the format, and this Secateur"
            f" reads version {VERSION}: update the older of the two."
        )
    return manifest


def _compare_names(members: _Members, manifest: Manifest, name: str) -> None:
    """Raise UserError unless the zip holds the files in the manifest, and those of its run."""
    differing = sorted(members.keys() ^ manifest.files.keys())
    if differing:
        state = "lacks" if differing[0] in manifest.files else "does not list"
        raise UserError(f"{name} {state} “{printable(differing[0])[:80]}”: export the run again.")
    folders = {member.filename.partition("/")[0] for member in members.values()}
    if folders != {manifest.run}:
        raise UserError(f"{name} names two runs: export the run again.")


def _unpack(
    archive: zipfile.ZipFile, members: _Members, manifest: Manifest, folder: Path
) -> Generator[Event, None, None]:
    """Write the members into the folder. Raises UserError for one that is not as it was written."""
    total = sum(member.file_size for member in members.values())
    done = 0
    for place, member in members.items():
        path = folder / place
        path.parent.mkdir(exist_ok=True)
        with archive.open(member) as source, path.open("xb") as target:
            digest = hashlib.sha256()
            while chunk := source.read(_CHUNK_BYTES):
                yield Progress("Unpacking", done, total, "bytes")
                target.write(chunk)
                digest.update(chunk)
                done += len(chunk)
            target.flush()
            os.fsync(target.fileno())
            found = FileFacts(size=target.tell(), sha256=digest.hexdigest())
        if found != manifest.files[place]:
            raise zipfile.BadZipFile(f"{place} has another SHA-256 than was written")
