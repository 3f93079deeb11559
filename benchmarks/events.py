"""Measures what a run writes down: events and statuses a second, and bytes on disk.

    python -m benchmarks.events

The runs' folder is on the disk of `--folder`, so that a shared file system can be measured, too.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.report import Row, write_report
from core.config import TrainRecipe
from core.events import EpochEnd, Note
from core.jobs.train import TrainJob
from core.runs import artefacts
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
    parser.add_argument("--folder", type=Path, help="on the disk to measure")
    parser.add_argument("--seconds", type=float, default=5, help="for each rate")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        rows = measure_writing(RunStore(Path(folder) / "rates"), options.seconds)
        rows += measure_bytes(RunStore(Path(folder) / "runs"), Path(folder) / "data")
    write_report("events", rows)


if __name__ == "__main__":
    main()
