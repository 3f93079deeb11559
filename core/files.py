"""Write files atomically: a reader sees the old file or the new one, never a part of it."""

import contextlib
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_atomically(
    path: Path, content: bytes | Callable[[BinaryIO], object], lasting: bool = True
) -> None:
    """Write `content`, which is bytes or a function that writes them, to `path`.

    The content is written to a temporary file, synced to disk, and renamed. So a reader sees the
    old file or the new one, also after a power cut. With `lasting` false nothing is synced, and a
    power cut may damage the file. After any error the temporary file is removed, which on a full
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
        replace_file(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if lasting:
        sync_folder(path.parent)


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
