"""Measures how long it takes to list all runs, which every page of the app begins with.

    python -m benchmarks.runs

And how long the server takes for the page of all runs, from a browser's request to the last
message. Drawing happens in the browser, and is not measured.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from filelock import FileLock

from benchmarks.load import Measured, Visitor
from benchmarks.report import Row, write_report
from core.config import TrainRecipe
from core.runs import listing
from core.runs.index import INDEX
from core.runs.run import Status, write_status
from core.runs.store import RunStore
from tests.chromium import serving

READ_BEFORE = "by this process"
INDEXED = "by another process"
NOT_READ = "never"
TARGETS = {READ_BEFORE: 0.1, INDEXED: 1.0, NOT_READ: None}
"""The most seconds, by who has read the runs before."""

PAGE_TARGET = 0.3
WARM_UP_SECONDS = 20


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


def time_listings(store: RunStore, repeats: int, read: str) -> list[float]:
    """Return the wall times of `repeats` listings, in seconds.

    read: who has read the runs before; see TARGETS.
    """
    times = []
    for _ in range(repeats):
        if read != READ_BEFORE:
            listing.forget_runs()
        if read == NOT_READ:
            (store.root / INDEX).unlink(missing_ok=True)
        began = time.perf_counter()
        store.list()
        times.append(time.perf_counter() - began)
    return times


def measure_listing(store: RunStore, alive: int, repeats: int, read: str) -> Row:
    """Return a row of the table; the locks of `alive` runs are held, as by their workers."""
    with contextlib.ExitStack() as locks:
        for run in store.list()[:alive]:
            write_status(run.path, run.status.model_copy(update={"state": "running"}))
            locks.enter_context(FileLock(run.path / "lock"))
        runs = len(store.list())
        times = time_listings(store, repeats, read)
    return {
        "what": "list",
        "runs": runs,
        "alive": alive,
        "read before": read,
        "median seconds": round(statistics.median(times), 4),
        "slowest": round(max(times), 4),
        "target": TARGETS[read],
    }


def measure_page(store: RunStore, repeats: int) -> list[Row]:
    """Return rows for the page of all runs: its first time in a new server, and later ones."""
    with tempfile.TemporaryDirectory() as data, serving(store.root, Path(data)) as address:
        times = asyncio.run(_visit_runs(address, repeats))
    runs = len(store.list())
    facts = {"what": "Runs page", "runs": runs, "alive": 0}
    first, *later = times
    return [
        {**facts, "read before": INDEXED, "median seconds": round(first, 4), "target": None},
        {
            **facts,
            "read before": READ_BEFORE,
            "median seconds": round(statistics.median(later), 4),
            "slowest": round(max(later), 4),
            "target": PAGE_TARGET,
        },
    ]


async def _visit_runs(address: str, repeats: int) -> list[float]:
    """Wait until the server has loaded its modules, and return the seconds of each visit."""
    measured = Measured()
    visitor = Visitor(address, [], 0, measured)
    async with visitor.connect() as socket:
        await visitor.open(socket, "train")
        await asyncio.sleep(WARM_UP_SECONDS)
        for _ in range(repeats + 1):
            await visitor.open(socket, "runs")
    return measured.seconds["runs"]


def main() -> None:
    """Print the table and write results/runs.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    rows: list[Row] = []
    for count in options.runs:
        with tempfile.TemporaryDirectory() as folder:
            store = fill_store(Path(folder), count)
            for alive in (0, 10):
                for read in TARGETS:
                    rows.append(measure_listing(store, alive, options.repeats, read))
            rows += measure_page(store, options.repeats)
    note = "All files are in the system's cache, as they are for a page that reloads every second."
    write_report("runs", rows, [note])


if __name__ == "__main__":
    main()
