"""List all runs of a folder, reading again only those that have changed.

Every page begins with such a list, and makes a store of its own for it. So the memory of what was
read belongs to the process. A run is read again if its folder, its status.json or its config.json
has changed. The locks of active runs are always checked anew.
"""

import os
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from core.runs.run import Run, correct_by_lock, read_run

RUN_ID = re.compile(r"[0-9a-f]{10}")

_MOST_FOLDERS = 4
_MOST_RUNS = 20_000
_SETTLED_SECONDS = 2
"""A file system may give two changes within this time the same date."""

_Stamp = tuple[int, ...]
"""Dates in nanoseconds, sizes and numbers of files. They differ after every change."""


@dataclass(frozen=True)
class _Known:
    """What was read of a run whose files have these stamps; None if it cannot be read."""

    stamp: _Stamp
    run: Run | None


_memory: dict[str, dict[str, _Known]] = {}
_memory_lock = threading.Lock()


def list_runs(root: Path) -> tuple[list[Run], list[str]]:
    """Read all runs below `root`, newest first, and the ids of the folders that cannot be read."""
    folder = str(root)
    known = _memory.get(folder, {})
    seen: dict[str, _Known] = {}
    runs = []
    damaged = []
    for run_id in _run_ids(root):
        entry = _look_at(f"{folder}{os.sep}{run_id}", known.get(run_id))
        if entry is None:
            continue  # it was just deleted
        if entry.run is None:
            damaged.append(run_id)
        else:
            runs.append(correct_by_lock(entry.run))
        if len(seen) < _MOST_RUNS:
            seen[run_id] = entry
    _remember(folder, seen)
    runs.sort(key=lambda run: run.config.created, reverse=True)
    return runs, damaged


def _run_ids(root: Path) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(root) if RUN_ID.fullmatch(entry.name)]
    except OSError:
        # If the root is a file, `RunStore.create` says so.
        return []


def _look_at(folder: str, known: _Known | None) -> _Known | None:
    """Return what is known of a run, after reading it if need be; None if it is not there."""
    stamp = _stamp(folder)
    if stamp is None:
        return None
    if known is not None and known.stamp == stamp:
        return known
    try:
        # It is remembered as it is on file. Whether it is alive is checked with every list.
        run = read_run(Path(folder))
    except FileNotFoundError:
        # A folder that is still there has no config.json.
        return _Known((), None) if Path(folder).exists() else None
    except (OSError, ValueError):
        return _Known((), None)
    return _Known(stamp if _is_settled(stamp) else (), run)


def _stamp(folder: str) -> _Stamp | None:
    """Return the stamp of a run's folder, or None if it is not there."""
    values: list[int] = []
    for path in (folder, f"{folder}{os.sep}status.json", f"{folder}{os.sep}config.json"):
        try:
            facts = os.stat(path)  # noqa: PTH116 - Path.stat takes twice the time
        except OSError:
            if path == folder:
                return None
            values += (0, 0, 0)
            continue
        values += (facts.st_mtime_ns, facts.st_size, facts.st_ino)
    return tuple(values)


def _is_settled(stamp: _Stamp) -> bool:
    """Whether the last change was long enough ago that another one would have another date."""
    return time.time_ns() - max(stamp[::3], default=0) > _SETTLED_SECONDS * 10**9


def forget() -> None:
    """Forget all runs, so that they are read again."""
    with _memory_lock:
        _memory.clear()


def _remember(folder: str, seen: dict[str, _Known]) -> None:
    """Remember the runs of a folder, and forget the folder that was listed longest ago."""
    with _memory_lock:
        _memory.pop(folder, None)
        _memory[folder] = seen
        while len(_memory) > _MOST_FOLDERS:
            del _memory[next(iter(_memory))]
