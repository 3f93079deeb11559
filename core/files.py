"""Files that are there whole or not at all."""

import contextlib
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, content: bytes | Callable[[BinaryIO], object], lasting: bool = True) -> None:
    """Put `content` (bytes, or a function that writes them) at `path`: temporary file, fsync, rename.

    A reader sees the old file or the new one, also after a power cut; without `lasting`, which does not wait for the
    disk, a power cut may damage it. On any error the temporary is removed, which on a full disk gives its space back,
    and the error is raised as it came.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content) if isinstance(content, bytes) else content(file)
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if lasting:
        sync_folder(path.parent)


def rename(source: Path, target: Path, patience: float = 2.0) -> None:
    """`os.replace`, which Windows refuses while somebody reads the target: tried again for `patience` seconds."""
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
    """Make a rename in `folder` outlive a power cut, where the system can open folders (Windows cannot)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
