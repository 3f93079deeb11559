"""How long the list of all runs takes, which every page of the app begins with: 1,000 finished ones, and some alive.

    python -m benchmarks.runs
"""

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from pathlib import Path

from filelock import FileLock

from benchmarks import report
from core.config import TrainRecipe
from core.runs.run import Status, write_status
from core.runs.store import RunStore

TARGET_SECONDS = 0.3


def fill(root: Path, count: int) -> RunStore:
    """A store with `count` finished runs of 70 epochs, copies of one but for their ids."""
    store = RunStore(root)
    run = store.create(TrainRecipe())
    accuracies = [0.9 + epoch / 1000 for epoch in range(60)]
    write_status(run.path, Status(state="finished", epoch=70, epochs=70, accuracies=accuracies))
    config, status = json.loads((run.path / "config.json").read_text()), (run.path / "status.json").read_bytes()
    for index in range(1, count):
        path = root / f"{index:010x}"
        path.mkdir()
        (path / "config.json").write_text(json.dumps(config | {"id": path.name, "created": float(index)}))
        (path / "status.json").write_bytes(status)
    return store


def seconds(store: RunStore, repeats: int) -> list[float]:
    """Wall times of `repeats` listings."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        store.list()
        times.append(time.perf_counter() - began)
    return times


def measured(store: RunStore, alive: int, repeats: int) -> dict:
    """A row of the table, with `alive` of the runs held by a worker's lock."""
    with contextlib.ExitStack() as locks:
        for run in store.list()[:alive]:
            write_status(run.path, run.status.model_copy(update={"state": "running"}))
            locks.enter_context(FileLock(run.path / "lock"))
        runs, times = len(store.list()), seconds(store, repeats)
    return {"runs": runs, "alive": alive, "median seconds": round(statistics.median(times), 4),
            "slowest": round(max(times), 4), "target": TARGET_SECONDS}


def main() -> None:
    """Print the table and write results/runs.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = fill(Path(folder), options.runs)
        rows = [measured(store, alive, options.repeats) for alive in (0, 10)]
    report.write("runs", rows, ["All files are in the system's cache, as they are for a page that looks every second."])


if __name__ == "__main__":
    main()
