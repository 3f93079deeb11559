"""Writes a run as one zip, file by file, without holding one in memory."""

import contextlib
import hashlib
import os
import secrets
import zipfile
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO

import core
from core.errors import UserError
from core.events import Progress
from core.files import replace_file, sync_folder
from core.hashes import state_of
from core.runs.archive.identity import identity
from core.runs.archive.layout import (
    FORMAT,
    MANIFEST,
    STATUS,
    VERSION,
    FileFacts,
    Manifest,
    archived_files,
    portable_status,
)
from core.runs.run import Run, read_status, to_json

_CHUNK_BYTES = 2**20
_LARGE = 2**31
"""Files that may need the zip's fields of 64 bits."""

_DATE = (1980, 1, 1, 0, 0, 0)
"""The date of every file, so that one run always gives the same zip."""

_Copying = Generator[Progress, None, FileFacts]


def export_run(run: Run, target: Path) -> Generator[Progress, None, None]:
    """Write the run as the zip `target`, which appears whole or not at all.

    Raises UserError for a run that is active, or changes meanwhile, for a damaged file, and for a
    place where nothing can be written.
    """
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield from write_archive(run, file)
            file.flush()
            os.fsync(file.fileno())
        replace_file(temporary, target)
        sync_folder(target.parent)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{target} cannot be written ({reason}): name another place.") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_archive(run: Run, file: BinaryIO) -> Generator[Progress, None, None]:
    """Write the run as a zip into an open file. Raises UserError as `export_run` does."""
    if run.active:
        raise UserError(f"“{run.name}” is {run.state}: export it when it has ended, or cancel it.")
    names = archived_files(run.path, run.state == "finished")
    total = archive_bytes(run)
    done = 0
    facts: dict[str, FileFacts] = {}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in names:
            if name == STATUS:
                facts[name] = _add(archive, run, name, to_json(portable_status(run.status)))
            else:
                facts[name] = yield from _copy(archive, run, name, done, total)
            done += facts[name].size
        _add(archive, run, MANIFEST, to_json(_manifest(run, facts)))
    if to_json(read_status(run.path)) != to_json(run.status):
        raise UserError(f"“{run.name}” changed while it was exported: export it again.")


def archive_bytes(run: Run) -> int:
    """Return the size of the files that belong into the run's zip, in bytes."""
    total = 0
    for name in archived_files(run.path, run.state == "finished"):
        with contextlib.suppress(OSError):
            total += (run.path / name).stat().st_size
    return total


def archive_name(run: Run) -> str:
    """Return the file name of the run's zip."""
    return f"{run.model}-{run.dataset}-{run.id}.zip".replace("/", "-")


def _manifest(run: Run, files: dict[str, FileFacts]) -> Manifest:
    parent = None
    if run.config.parent is not None:
        with contextlib.suppress(OSError):  # the parent was deleted
            parent = identity(run.path.parent / run.config.parent)
    return Manifest(
        format=FORMAT,
        version=VERSION,
        secateur=core.__version__,
        run=run.id,
        parent=parent,
        files=files,
    )


def _copy(archive: zipfile.ZipFile, run: Run, name: str, done: int, total: int) -> _Copying:
    """Copy a file of the run into the zip. Raises UserError if it is damaged or gone."""
    path = run.path / name
    digest = hashlib.sha256()
    size = 0
    try:
        if state_of(path, afresh=True) == "damaged":
            raise UserError(f"{path} is damaged, so “{run.name}” is not exported: make it again.")
        is_large = path.stat().st_size >= _LARGE
        with (
            path.open("rb") as source,
            archive.open(_entry(run, name), "w", force_zip64=is_large) as target,
        ):
            while chunk := source.read(_CHUNK_BYTES):
                yield Progress("Exporting", done + size, total, "bytes")
                target.write(chunk)
                digest.update(chunk)
                size += len(chunk)
    except FileNotFoundError as error:
        raise UserError(f"{path} is gone: “{run.name}” was deleted meanwhile.") from error
    return FileFacts(size=size, sha256=digest.hexdigest())


def _add(archive: zipfile.ZipFile, run: Run, name: str, content: bytes) -> FileFacts:
    archive.writestr(_entry(run, name), content)
    return FileFacts(size=len(content), sha256=hashlib.sha256(content).hexdigest())


def _entry(run: Run, name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name if name == MANIFEST else f"{run.id}/{name}", _DATE)
    entry.external_attr = 0o100644 << 16
    return entry
