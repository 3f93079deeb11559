"""The index of the runs that are over: one file beside their folders, which stay the truth.

A process that lists thousands of runs for the first time reads this one file, and not two files of
each run. It is a copy: without it, or if it is damaged, the runs are read from their folders, and
it is written anew. So it may be deleted at any time.
"""

import contextlib
import sqlite3
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

INDEX = ".index.sqlite"
"""The file, in the folder for runs."""

_PATIENCE = 1.0
"""Seconds to wait for another reader or writer. A list can do without the index."""

_TABLE = "CREATE TABLE runs (id text primary key, stamp text, config, status)"
"""In the words in which SQLite remembers it."""

_MOST_BYTES = 10_000_000
"""Of one value. Settings and status of a run take some kilobytes."""


@dataclass(frozen=True)
class IndexedRun:
    """What the index holds of a run.

    stamp: of its folder before it was read. config, status: the contents of config.json and
    status.json.
    """

    id: str
    stamp: str
    config: bytes
    status: bytes


def read_index(root: Path) -> list[IndexedRun]:
    """Return all runs of the index; none if there is no index, or none that can be read."""
    if not (root / INDEX).is_file():
        return []
    with contextlib.suppress(sqlite3.Error), _opened(root) as index:
        _check_table(index)
        return [
            IndexedRun(*row) for row in index.execute("select id, stamp, config, status from runs")
        ]
    return []


def update_index(root: Path, runs: Collection[IndexedRun], all_ids: Collection[str]) -> None:
    """Add these runs, or replace them, and remove those that are not among `all_ids`.

    A damaged index is made anew. Nothing happens if it cannot be written, or is busy.
    """
    try:
        _update(root, runs, all_ids)
    except (sqlite3.OperationalError, OSError):
        return
    except sqlite3.DatabaseError:  # it is damaged, no database, or has other tables
        with contextlib.suppress(sqlite3.Error, OSError):
            (root / INDEX).unlink()
            _update(root, runs, all_ids)


def _update(root: Path, runs: Collection[IndexedRun], all_ids: Collection[str]) -> None:
    rows = [(run.id, run.stamp, run.config, run.status) for run in runs]
    with _opened(root) as index:
        if not _schema(index):
            index.execute(_TABLE)
        _check_table(index)
        gone = {row for row in index.execute("select id from runs") if row[0] not in all_ids}
        index.executemany("delete from runs where id = ?", gone)
        index.executemany("insert or replace into runs values (?, ?, ?, ?)", rows)


def _schema(index: sqlite3.Connection) -> list[str]:
    """Return the statements that made the tables, views and triggers of the index."""
    rows = index.execute("select sql from sqlite_master where sql is not null")
    return [row[0] for row in rows]


def _check_table(index: sqlite3.Connection) -> None:
    """Refuse an index of another version, and one with a view or a trigger that might never end."""
    if _schema(index) != [_TABLE]:
        raise sqlite3.DatabaseError(f"The index has other tables than {_TABLE}")


@contextlib.contextmanager
def _opened(root: Path) -> Iterator[sqlite3.Connection]:
    """Open the index for one transaction."""
    with contextlib.closing(sqlite3.connect(root / INDEX, timeout=_PATIENCE)) as index, index:
        index.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_BYTES)
        yield index
