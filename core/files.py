"""Write files atomically: a reader sees the old file or the new one, never a part of it."""

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

Content = bytes | Callable[[BinaryIO], object]
"""The content of a file, or a function that writes it into an open file."""


def write_atomically(
    path: Path,
    content: Content,
    lasting: bool = True,
    before_rename: Callable[[Path], object] | None = None,
) -> None:
    """Write `content` to `path`.

    The content is written to a temporary file, synced to disk, and renamed. So a reader sees the
    old file or the new one, also after a power cut. With `lasting` false nothing is synced, and a
    power cut may damage the file. `before_rename` is called with the path of the complete temporary
    file. After any error the temporary file is removed, which on a full
    disk gives its space back, and the error is raised unchanged.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                content(file)
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        if before_rename is not None:
            before_rename(temporary)
        replace_file(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if lasting:
        sync_folder(path.parent)


def content_of(path: Path) -> Content:
    """Return a function that copies the file at `path` without holding it in memory."""

    def copy(target: BinaryIO) -> None:
        with path.open("rb") as source:
            shutil.copyfileobj(source, target, 2**20)

    return copy


def replace_file(source: Path, target: Path, patience: float = 2.0) -> None:
    """Rename a file, replacing the target.

    Windows refuses that while another process reads the target. There it is tried again for
    `patience` seconds.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            source.replace(target)
            return
        except PermissionError:
            if os.name != "nt" or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut. Does nothing on Windows."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
