"""Delete for good: runs that have long been in the trash, and drafts that a kill left behind."""

import contextlib
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from core.runs.listing import RUN_ID
from core.runs.lock import is_lock_held

TRASH_DAYS = 30
"""A deleted run can be restored for so long."""

_DRAFT_SECONDS = 3600
"""A file or folder that is being written is younger than this."""

_TIDY_SECONDS = 3600
_tidied: dict[Path, float] = {}
_tidied_lock = threading.Lock()


def move_to_trash(run_folder: Path, trash: Path) -> None:
    """Move a run into the trash. Its folder's date is then that of the deletion."""
    trash.mkdir(exist_ok=True)
    target = trash / run_folder.name
    # The trash may hold an earlier run that was made with the same token.
    _delete(target)
    run_folder.rename(target)
    os.utime(target)


def total_bytes(trash: Path) -> int:
    """Return the size of all runs in the trash, in bytes."""
    return sum(_folder_bytes(str(run), run.stat().st_mtime_ns) for run in _runs_in(trash))


def delete_all(trash: Path) -> None:
    """Delete all runs in the trash."""
    for run in _runs_in(trash):
        _delete(run)


def delete_one(trash: Path, run_id: str) -> bool:
    """Delete one run in the trash for good, and return whether it was there."""
    folder = trash / run_id
    if not folder.is_dir():
        return False
    _delete(folder)
    return not folder.exists()


def tidy_runs(root: Path, trash: Path) -> bool:
    """Delete what is too old, at most once an hour in one process. Returns whether it was time."""
    now = time.monotonic()
    with _tidied_lock:
        if now - _tidied.get(root, -_TIDY_SECONDS) < _TIDY_SECONDS:
            return False
        _tidied[root] = now
    with contextlib.suppress(OSError):
        _delete_old_trash(trash)
        _delete_old_drafts(root)
    return True


def _delete_old_trash(trash: Path) -> None:
    for run in _runs_in(trash):
        if _age(run) > TRASH_DAYS * 86_400:
            _delete(run)


def _delete_old_drafts(root: Path) -> None:
    """Delete drafts of runs and of files, and what is left of an earlier deletion."""
    if not root.is_dir():
        return
    for entry in os.scandir(root):
        path = Path(entry.path)
        if entry.name.startswith(".new-") and _age_of_content(path) > _DRAFT_SECONDS:
            _delete(path)
        elif entry.name.startswith(".gone-"):
            shutil.rmtree(path, ignore_errors=True)
        elif RUN_ID.fullmatch(entry.name):
            _delete_old_temporaries(path)


def _delete_old_temporaries(run_folder: Path) -> None:
    """Delete the temporary files of `core.files.write_atomically`, unless a worker is at it."""
    for folder in (run_folder, run_folder / "epochs"):
        with contextlib.suppress(OSError):
            names = [entry.name for entry in os.scandir(folder)]
            old = [
                folder / name
                for name in names
                if name.startswith(".")
                and name.endswith(".tmp")
                and _age(folder / name) > _DRAFT_SECONDS
            ]
            if old and not is_lock_held(run_folder):
                for file in old:
                    file.unlink(missing_ok=True)


def _runs_in(trash: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        for entry in os.scandir(trash):
            if RUN_ID.fullmatch(entry.name):
                yield Path(entry.path)


@lru_cache(maxsize=4096)
def _folder_bytes(folder: str, changed: int) -> int:
    """Return the size of a deleted run. `changed` is its date: nothing changes in the trash."""
    total = 0
    for file in Path(folder).rglob("*"):
        with contextlib.suppress(OSError):
            if file.is_file():
                total += file.stat().st_size
    return total


def _delete(folder: Path) -> None:
    """Delete a folder if it is there. It disappears at once, so that nobody restores a half."""
    root = folder.parent.parent if folder.parent.name == ".trash" else folder.parent
    gone = root / f".gone-{secrets.token_hex(4)}"
    try:
        folder.rename(gone)
    except OSError:
        return
    shutil.rmtree(gone, ignore_errors=True)


def _age(path: Path) -> float:
    """Return the seconds since the last change of a file or folder, 0 if it is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _age_of_content(folder: Path) -> float:
    """Return the seconds since the last change of a folder or of anything in it."""
    return min(_age(path) for path in (folder, *folder.rglob("*")))
