"""List all runs of a folder, reading again only those that have changed.

Every page begins with such a list, and makes a store of its own for it. So the memory of what was
read belongs to the process, and a new process begins with the index. A run that is over is read
again if its folder has changed, which it does whenever a file in it is replaced. Others are read
again if their folder, their status.json or their config.json has changed. The locks of active runs
are always checked anew.
"""

import os
import re
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

from core.runs.index import IndexedRun, read_index, update_index
from core.runs.run import Run, RunConfig, Status, correct_by_lock, read_run

RUN_ID = re.compile(r"[0-9a-f]{10}")

_MOST_FOLDERS = 4
_MOST_RUNS = 20_000
_SETTLED_SECONDS = 2
"""A file system may give two changes within this time the same date."""

_WORTH_INDEXING = 100
"""Reading fewer runs from their folders takes some hundredths of a second."""

_OVER = ("finished", "failed", "cancelled")

_Stamp = tuple[int, ...]
"""Dates in nanoseconds, sizes and numbers of files. They differ after every change."""


@dataclass(frozen=True)
class _Known:
    """What was read of a run whose files have these stamps; None if it cannot be read.

    is_over: whether no worker will change it. indexed: whether the index has it too.
    """

    stamp: _Stamp
    run: Run | None
    is_over: bool = False
    indexed: bool = False


_memory: dict[str, dict[str, _Known]] = {}
_memory_lock = threading.Lock()


def list_runs(root: Path) -> tuple[list[Run], list[str]]:
    """Read all runs below `root`, newest first, and the ids of the folders that cannot be read."""
    folder = str(root)
    known = _memory.get(folder)
    if known is None:
        known = _indexed_runs(root)
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
            runs.append(entry.run if entry.is_over else correct_by_lock(entry.run))
        if len(seen) < _MOST_RUNS:
            seen[run_id] = entry
    _remember(folder, _index(root, seen))
    runs.sort(key=lambda run: run.config.created, reverse=True)
    return runs, damaged


def _indexed_runs(root: Path) -> dict[str, _Known]:
    """Return what the index knows, without what it cannot say in the words of this version."""
    known = {}
    for row in read_index(root):
        try:
            stamp = tuple(int(number) for number in row.stamp.split())
            config = RunConfig.model_validate_json(row.config)
            status = Status.model_validate_json(row.status)
        except (ValueError, TypeError, AttributeError):
            continue
        run = Run(root / row.id, config, status, alive=False)
        known[row.id] = _Known(stamp, run, status.state in _OVER, indexed=True)
    return known


def _index(root: Path, seen: dict[str, _Known]) -> dict[str, _Known]:
    """Add runs that are over to the index if it lacks many, and return what is known then."""
    added = {
        run_id: _to_row(run_id, entry.stamp, entry.run)
        for run_id, entry in seen.items()
        if not entry.indexed and entry.is_over and entry.stamp and entry.run is not None
    }
    if len(added) < _WORTH_INDEXING:
        return seen
    update_index(root, list(added.values()), seen.keys())
    # Also if the folder cannot be written: it would not be the next time either.
    return seen | {run_id: replace(seen[run_id], indexed=True) for run_id in added}


def _to_row(run_id: str, stamp: _Stamp, run: Run) -> IndexedRun:
    config = run.config.model_dump_json().encode()
    status = run.status.model_dump_json().encode()
    return IndexedRun(run_id, " ".join(map(str, stamp)), config, status)


def _run_ids(root: Path) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(root) if RUN_ID.fullmatch(entry.name)]
    except OSError:
        # If the root is a file, `RunStore.create` says so.
        return []


def _look_at(folder: str, known: _Known | None) -> _Known | None:
    """Return what is known of a run, after reading it if need be; None if it is not there."""
    own = _stamp(folder)
    if own is None:
        return None
    if known is not None and known.is_over and known.stamp == own:
        return known
    stamp = own + _files_stamp(folder)
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
    is_over = run.status.state in _OVER
    kept = own if is_over else stamp
    return _Known(kept if _is_settled(stamp) else (), run, is_over)


def _files_stamp(folder: str) -> _Stamp:
    """Return the stamps of status.json and config.json."""
    files = (f"{folder}{os.sep}status.json", f"{folder}{os.sep}config.json")
    return tuple(number for file in files for number in _stamp(file) or (0, 0, 0))


def _stamp(path: str) -> _Stamp | None:
    """Return the stamp of a file or folder, or None if it is not there."""
    try:
        facts = os.stat(path)  # noqa: PTH116 - Path.stat takes twice the time
    except OSError:
        return None
    return (facts.st_mtime_ns, facts.st_size, facts.st_ino)


def _is_settled(stamp: _Stamp) -> bool:
    """Whether the last change was long enough ago that another one would have another date."""
    return time.time_ns() - max(stamp[::3], default=0) > _SETTLED_SECONDS * 10**9


def forget_runs() -> None:
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
