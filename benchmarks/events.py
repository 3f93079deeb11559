"""Measures what a run writes down: events and statuses a second, and bytes on disk.

    python -m benchmarks.events
    python -m benchmarks.events --shared FOLDER     # results/events_shared.json

FOLDER is on a file system that several machines share.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from benchmarks.report import Row, write_report
from core.config import TrainRecipe
from core.events import EpochEnd, Note
from core.jobs.train import TrainJob
from core.runs import artefacts, listing
from core.runs.record import Record
from core.runs.run import read_status, write_status
from core.runs.store import RunStore

NETWORKS = ("LeNet5", "ResNet20", "VGG16")


def rate(write: Callable[[int], None], seconds: float) -> float:
    """Return how often `write` can be called in a second. It gets the number of the call."""
    began = time.perf_counter()
    count = 0
    while time.perf_counter() - began < seconds:
        write(count)
        count += 1
    return count / (time.perf_counter() - began)


def measure_writing(store: RunStore, seconds: float) -> list[Row]:
    """Return how many events and statuses a second one worker writes, and the rate of runs."""
    run = store.create(TrainRecipe())
    record = Record(run)
    status = read_status(run.path)
    note = Note("One of many notes that say nothing.")

    def end_epoch(number: int) -> None:
        record.take(EpochEnd(number + 1, 10**6, 2.0, 0.3, 1.9, 0.4, 0.1, 900.0, 50.0, 55.0))

    rates = {
        "events a second": rate(lambda _: record.take(note), seconds),
        "ends of epochs a second, each synced": rate(end_epoch, seconds),
        "statuses a second": rate(lambda _: write_status(run.path, status), seconds),
        "runs created a second": rate(lambda _: _create(store), seconds),
    }
    return [{"what": name, "figure": round(figure)} for name, figure in rates.items()]


def measure_listing(store: RunStore) -> list[Row]:
    """Return the seconds that a list takes at first, and again."""
    listing.forget_runs()
    runs, first = _timed_list(store)
    _, again = _timed_list(store)
    return [
        {"what": f"seconds until {runs:,} runs are listed", "figure": round(first, 3)},
        {"what": "seconds of the next list", "figure": round(again, 3)},
    ]


def _timed_list(store: RunStore) -> tuple[int, float]:
    began = time.perf_counter()
    return len(store.list()), time.perf_counter() - began


def _create(store: RunStore) -> None:
    store.create(TrainRecipe(model="LeNet5"))


def measure_bytes(store: RunStore, data: Path) -> list[Row]:
    """Return the bytes of a trained run of each network, whose size does not depend on epochs."""
    rows: list[Row] = []
    for name in NETWORKS:
        recipe = TrainRecipe(
            model=name, dataset="Digits", epochs=1, train_images=64, batch_size=32, device="cpu"
        )
        run = store.create(recipe)
        record = Record(run)
        job = TrainJob(recipe, data)
        for event in job.events():
            record.take(event)
            artefacts.save_initial(run, job)
        artefacts.save_result(run, job)
        total = sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file())
        rows.append({"what": f"bytes of a trained {name}", "figure": total})
    return rows


def main() -> None:
    """Print the table and write results/events.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, help="a folder on a shared file system")
    parser.add_argument("--seconds", type=float, default=5, help="for each rate")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.shared) as folder:
        store = RunStore(Path(folder) / "rates")
        rows = measure_writing(store, options.seconds) + measure_listing(store)
        if options.shared is None:
            rows += measure_bytes(RunStore(Path(folder) / "runs"), Path(folder) / "data")
    if options.shared is None:
        write_report("events", rows)
    else:
        note = f"The folder is on a file system of the type {_file_system(options.shared)}."
        write_report("events_shared", rows, [note])


def _file_system(folder: Path) -> str:
    """Return the type of the file system that a folder is on, such as "nfs4"."""
    mounted = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    whole = folder.resolve()
    return next(mounted[path] for path in (whole, *whole.parents) if path in mounted)


if __name__ == "__main__":
    main()
