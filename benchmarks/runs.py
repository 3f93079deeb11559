"""Measures how long it takes to list all runs, which every page of the app begins with.

python -m benchmarks.runs
"""

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from filelock import FileLock

from benchmarks.report import Row, write_report
from core.config import TrainRecipe
from core.runs import listing
from core.runs.run import Status, write_status
from core.runs.store import RunStore

TARGET_SECONDS = 0.15  # if nothing has changed


def fill_store(root: Path, count: int) -> RunStore:
    """Return a store with `count` finished runs of 70 epochs, which differ in their ids only."""
    store = RunStore(root)
    run = store.create(TrainRecipe())
    accuracies = [0.9 + epoch / 1000 for epoch in range(60)]
    write_status(run.path, Status(state="finished", epoch=70, epochs=70, accuracies=accuracies))
    config = json.loads((run.path / "config.json").read_text())
    status = (run.path / "status.json").read_bytes()
    for index in range(1, count):
        path = root / f"{index:010x}"
        path.mkdir()
        own = {"id": path.name, "created": float(index)}
        (path / "config.json").write_text(json.dumps(config | own))
        (path / "status.json").write_bytes(status)
        _make_older(path)
    return store


def _make_older(run_folder: Path) -> None:
    """Date a run back. What has changed in the last seconds is always read again."""
    an_hour_ago = time.time() - 3600
    for path in (*run_folder.iterdir(), run_folder):
        os.utime(path, (an_hour_ago, an_hour_ago))


def time_listings(store: RunStore, repeats: int, cold: bool) -> list[float]:
    """Return the wall times of `repeats` listings, in seconds.

    cold: whether the process forgets before each what it has read.
    """
    times = []
    for _ in range(repeats):
        if cold:
            listing.forget()
        began = time.perf_counter()
        store.list()
        times.append(time.perf_counter() - began)
    return times


def measure_listing(store: RunStore, alive: int, repeats: int, cold: bool) -> Row:
    """Return a row of the table; the locks of `alive` runs are held, as by their workers.

    cold: whether the process has read nothing before.
    """
    with contextlib.ExitStack() as locks:
        for run in store.list()[:alive]:
            write_status(run.path, run.status.model_copy(update={"state": "running"}))
            locks.enter_context(FileLock(run.path / "lock"))
        runs = len(store.list())
        times = time_listings(store, repeats, cold)
    return {
        "runs": runs,
        "alive": alive,
        "read before": not cold,
        "median seconds": round(statistics.median(times), 4),
        "slowest": round(max(times), 4),
        "target": None if cold else TARGET_SECONDS,
    }


def main() -> None:
    """Print the table and write results/runs.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    rows = []
    for count in options.runs:
        with tempfile.TemporaryDirectory() as folder:
            store = fill_store(Path(folder), count)
            for alive in (0, 10):
                for cold in (True, False):
                    rows.append(measure_listing(store, alive, options.repeats, cold))
    note = "All files are in the system's cache, as they are for a page that reloads every second."
    write_report("runs", rows, [note])


if __name__ == "__main__":
    main()
