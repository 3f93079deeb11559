"""Measures how much of the disk each run takes, and remembers it until the run's folder changes.

A page asks every few seconds for all runs. So a run that is over is measured once, and a call
measures runs that are not known yet only for a limited time.
"""

import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from core.runs.run import Run, Status

_SECONDS = 0.05
"""The time in which one call measures runs: some hundreds on a local disk."""

_MOST_REMEMBERED = 100_000

_memory: dict[str, tuple[Status, int]] = {}
"""The status with which a run was read, and its bytes, by the path of its folder.

A run that is over is read again when its folder changes (`core.runs.listing`), and then its status
is another object.
"""

_memory_lock = threading.Lock()


@dataclass(frozen=True)
class DiskUse:
    """The disk that runs take.

    by_run: bytes by the run's id. is_complete: whether no run is missing there. A later call knows
    more.
    """

    by_run: dict[str, int]
    is_complete: bool

    @property
    def total(self) -> int:
        """The bytes of all runs that were measured."""
        return sum(self.by_run.values())


def disk_use(runs: Iterable[Run], seconds: float = _SECONDS) -> DiskUse:
    """Return how much of the disk the runs take.

    Measuring ends after so many seconds. Runs that were measured before, and have not changed
    since, need no measuring. A run that is active is measured with every call.
    """
    deadline = time.monotonic() + seconds
    by_run = {}
    is_complete = True
    for run in runs:
        folder = str(run.path)
        known = _memory.get(folder)
        if known is not None and known[0] is run.status and not run.active:
            by_run[run.id] = known[1]
        elif time.monotonic() < deadline:
            by_run[run.id] = folder_bytes(folder)
            _remember(folder, run.status, by_run[run.id])
        else:
            is_complete = False
    return DiskUse(by_run, is_complete)


def folder_bytes(folder: str) -> int:
    """Return the size of all files in a folder and those below it, in bytes."""
    total = 0
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return 0
    for entry in entries:
        try:
            if entry.is_dir(follow_symlinks=False):
                total += folder_bytes(entry.path)
            else:
                total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue  # it was just deleted
    return total


def _remember(folder: str, status: Status, number: int) -> None:
    with _memory_lock:
        _memory[folder] = (status, number)
        while len(_memory) > _MOST_REMEMBERED:
            del _memory[next(iter(_memory))]
