"""The process that works on one run, from its lock to its last file: `python -m core.runs.worker DIR`.

It outlives the browser and the server that started it. Whatever ends it (a cancel, Ctrl-C, an error, `kill -9`, a
power cut) leaves a directory whose files are whole, and from which the run continues to the same weights.
"""

import argparse
import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from core.config import data_root
from core.events import EpochEnd, Event, Finished, Progress
from core.runs.failures import explain
from core.runs.record import Record
from core.runs.run import Run, read_status
from core.runs.store import RunStore

EPOCH_SAVE_SECONDS = 5  # at least between two checkpoints at the ends of epochs
BATCH_SAVE_SECONDS = 60  # at most between two checkpoints within a long epoch
SAVING_SHARE = 20  # what took a second to write is followed by twenty without: it costs at most 5% of the time


class Stop(threading.Event):
    """Set by a signal. The run ends at the next event, with a checkpoint; a second Ctrl-C does not wait for it."""

    def listen(self) -> "Stop":
        """Be set by Ctrl-C and by a polite kill; only from the main thread."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._signalled)
        return self

    def _signalled(self, number: int, _frame) -> None:
        if self.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.set()


class _Ended(Exception):
    """The run is over without a result; the text says why."""

    def __init__(self, state: str, text: str):
        super().__init__(text)
        self.state = state


def work(run: Run, data: Path, stop: Stop | None = None) -> Iterator[Event]:
    """Do what `run` asks for and yield every event once it is on disk; nothing if somebody else is at it.

    Ends in one of the states finished, failed, cancelled or interrupted: an error becomes a state, a sentence and a
    traceback in the log. `data` is the folder of the data sets.
    """
    try:
        lock = FileLock(run.path / "lock").acquire(timeout=3)  # whoever asks whether it is free holds it for a moment
    except Timeout:
        return
    with lock:
        if read_status(run.path).state in ("finished", "cancelled"):  # a second worker for a run that is over
            return
        record = Record(run)
        try:
            yield from _work(run, data, stop or Stop(), record)
        except _Ended as end:
            record.end(end.state, str(end))
        except (KeyboardInterrupt, GeneratorExit):
            record.end("interrupted", "Stopped at once.")
            raise
        except BaseException as error:
            record.log("".join(traceback.format_exception(error)))
            record.end("failed", explain(error, run))


def _work(run: Run, data: Path, stop: Stop, record: Record) -> Iterator[Event]:
    cancel = run.path / "cancel"

    def raise_if_ended() -> None:
        if cancel.exists():
            raise _Ended("cancelled", "Cancelled.")
        if stop.is_set():
            raise _Ended("interrupted", "Stopped by a signal.")

    record.update(state="queued", queued_at=time.time(), message="", stage="Getting ready", done=0, total=0,
                  epochs=run.recipe.epochs)
    # OpenMP's threads spin while they wait. Where a browser wants the same cores, that makes a small network's steps
    # thirty times slower; asleep, they cost next to nothing. Read once, when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from core.runs import jobs  # brings torch, which takes seconds: after the lock and the first status

    job = jobs.begin(run, data)
    with contextlib.closing(_Slot(run, str(job.device), record)) as slot:
        for event in slot.wait(stop):
            yield event
            raise_if_ended()
        record.update(state="running", started_at=time.time(), stage="Loading")
        saving, keeping = _Sparing(), _Sparing()
        try:
            for event in job.events():
                record.take(event)
                yield event
                if isinstance(event, EpochEnd) and keeping.due(0):
                    with keeping:
                        jobs.keep_epoch(run, job, event.epoch)
                if saving.due(EPOCH_SAVE_SECONDS if isinstance(event, EpochEnd) else BATCH_SAVE_SECONDS):
                    with saving:
                        jobs.save_checkpoint(run, job)
                if not isinstance(event, Finished):  # what is finished is not cancelled any more
                    raise_if_ended()
        except _Ended:
            jobs.save_checkpoint(run, job)
            jobs.save_result(run, job)
            raise
        jobs.save_result(run, job)
        record.end("finished", "")
        jobs.drop_checkpoint(run)


class _Sparing:
    """Around something that may take SAVING_SHARE's part of the time at most: says when it is due again."""

    def __init__(self):
        self.ended, self.seconds = time.monotonic(), 0.0

    def due(self, pause: float) -> bool:
        """Whether at least `pause` seconds have passed since the last time, and enough to have paid for it."""
        return time.monotonic() - self.ended > max(pause, SAVING_SHARE * self.seconds)

    def __enter__(self) -> None:
        self.began = time.monotonic()

    def __exit__(self, *_) -> None:
        self.ended = time.monotonic()
        self.seconds = self.ended - self.began


class _Slot:
    """A place on a device. The queue is the waiting workers themselves, so it needs no server and survives every
    restart: each takes the device's lock only when no living run that has waited longer wants the same device.
    """

    def __init__(self, run: Run, device: str, record: Record):
        self.run, self.device, self.record = run, device, record
        folder = run.path.parent / ".slots"
        folder.mkdir(exist_ok=True)
        self.lock = FileLock(folder / f"{device.replace(':', '-')}.lock")
        self.close = self.lock.release
        record.update(device=device)

    def wait(self, stop: Stop) -> Iterator[Event]:
        """Yield Progress until the device is ours."""
        while True:
            looked = time.monotonic()
            ahead = self._ahead()
            if not ahead:
                with contextlib.suppress(Timeout):
                    self.lock.acquire(blocking=False)
                    return
            stage = f"Waiting for {self.device}" + (f", {ahead} ahead" if ahead else "")
            if stage != self.record.status.stage:
                self.record.update(stage=stage)
            yield Progress(stage, 0, 0, "runs")
            stop.wait(min(1.0, max(0.2, 10 * (time.monotonic() - looked))))  # among many runs, looking takes its time

    def _ahead(self) -> int:
        """How many living runs have waited for this device for longer, or for one that they do not know yet."""
        mine = (self.record.status.queued_at, self.run.id)
        others = (run for run in RunStore(self.run.path.parent).list() if run.id != self.run.id)
        return sum(run.alive and run.status.state == "queued" and run.status.device in ("", self.device)
                   and (run.status.queued_at, run.id) < mine for run in others)


def main(arguments: list[str] | None = None) -> int:
    """Work on the run in a folder until it ends; 0 if it finished, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m core.runs.worker", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="the run's directory")
    parser.add_argument("--data-dir", type=Path, help="the folder of the data sets")
    options = parser.parse_args(arguments)
    store = RunStore(options.folder.absolute().parent)
    for _ in work(store.get(options.folder.name), data_root(options.data_dir), Stop().listen()):
        pass
    return 0 if store.get(options.folder.name).state == "finished" else 1


if __name__ == "__main__":
    sys.exit(main())
