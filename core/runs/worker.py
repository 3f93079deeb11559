"""The process that works on one run: `python -m core.runs.worker FOLDER`.

It outlives the browser and the server that started it. Whatever ends it (a cancel, Ctrl-C, an
error, `kill -9`, a power cut) leaves a folder whose files are whole, and from which the run
continues to the same weights.
"""

import argparse
import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Generator, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from core.config import TrainRecipe, data_root
from core.errors import RankLost, UserError
from core.events import (
    Candidate,
    EpochEnd,
    Event,
    Finished,
    LayersMeasured,
    Progress,
    ThinnedCandidate,
)
from core.machine import host_name
from core.runs.failures import explain_failure
from core.runs.heartbeat import beating
from core.runs.lock import RunLock
from core.runs.record import Record
from core.runs.run import Run, State, WorkerProcess, read_status, unwritable
from core.runs.store import RunStore
from core.runs.trackers.launch import mirror_in_background

if TYPE_CHECKING:
    from core.jobs.job import Job

EPOCH_SAVE_SECONDS: float = 5
"""The least time between two checkpoints at the ends of epochs."""

BATCH_SAVE_SECONDS: float = 60
"""The least time between two checkpoints within an epoch."""

SAVING_SHARE: float = 20
"""Saving that took a second is followed by 20 without. So it costs at most 5% of the time."""


class Stop(threading.Event):
    """Set by a signal. The run then ends at the next event, with a checkpoint.

    A second Ctrl-C ends it at once.
    """

    def listen(self) -> "Stop":
        """Set this event on Ctrl-C, SIGTERM and SIGHUP. Call it in the main thread only.

        A hang-up that is ignored, as under nohup, stays ignored.
        """
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no hang-up
            if number is None or (name == "SIGHUP" and signal.getsignal(number) == signal.SIG_IGN):
                continue
            signal.signal(number, self._handle_signal)
        return self

    def _handle_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.set()


class Ended(Exception):
    """The run ends without a result, in `state`. The text says why."""

    def __init__(self, state: State, text: str) -> None:
        super().__init__(text)
        self.state = state


def work(
    run: Run, data: Path, stop: Stop | None = None, ray_job: str = ""
) -> Generator[Event, None, None]:
    """Work on `run` to its end, and yield every event once it is on disk.

    ray_job: id of the job of a cluster in which this process runs. Yields nothing if another worker
    is at it or was asked to be, or if it is over or deleted. The run ends as
    finished, failed, cancelled or interrupted: an error becomes a state, a sentence, and a
    traceback in the log. `data` is the folder of the data sets. Raises UserError if the lock cannot
    be taken, as when a folder is in its place.
    """
    with RunLock(run.path) as lock:
        try:
            # A process that checks whether the lock is free may hold it for a moment.
            if not lock.take(timeout=3):
                return
        except FileNotFoundError:
            return
        except OSError as error:
            raise unwritable(run.path.parent, error) from error
        status = read_status(run.path)
        # The run may be over if this is its second worker.
        if status.state in ("finished", "cancelled"):
            return
        if ray_job != (status.job.id if status.job else ""):
            return
        record = Record(run)
        mirror_in_background(run)
        with recording_end(run, record), beating(run.path):
            yield from _work(run, data, stop or Stop(), record)


@contextlib.contextmanager
def recording_end(run: Run, record: Record) -> Iterator[None]:
    """Turn what ends the work inside into the last state of the run, and a sentence.

    RankLost passes: the work goes on in other processes.
    """
    try:
        yield
    except RankLost:
        raise
    except Ended as end:
        record.end(end.state, str(end))
    except (KeyboardInterrupt, GeneratorExit):
        # Ranks that were asked to end may have been at their end.
        if record.status.state != "finished":
            record.end("interrupted", "Stopped at once.")
        raise
    except BaseException as error:
        record.log("".join(traceback.format_exception(error)))
        record.end("failed", explain_failure(error, run))


def _this_process() -> WorkerProcess:
    import psutil

    started = psutil.Process().create_time()
    return WorkerProcess(pid=os.getpid(), started=started, host=host_name())


def _enter_queue(run: Run, record: Record) -> None:
    # A launch gives the run its place in the queue. A run that is worked on without one has none.
    status = record.status
    was_launched = status.waits_for_cluster or (status.state == "starting" and status.queued_at > 0)
    record.update(
        state="queued",
        queued_at=status.queued_at if was_launched else time.time(),
        worker=_this_process(),
        message="",
        stage="Getting ready",
        done=0,
        total=0,
        epochs=run.recipe.epochs,
    )


def _work(run: Run, data: Path, stop: Stop, record: Record) -> Generator[Event, None, None]:
    _enter_queue(run, record)
    # While they wait, OpenMP's threads spin. If a browser needs the same cores, that makes the
    # steps of a small network thirty times slower. Sleeping threads cost next to nothing. OpenMP
    # reads this variable once, when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Loads torch, which takes seconds, so it comes after the lock and the first status.
    from core.runs import artefacts
    from core.runs.begin import begin_job

    checkpoint = artefacts.load_checkpoint(run)
    record.follow(checkpoint["history"] if checkpoint else None)
    job = begin_job(run, data, checkpoint)
    with contextlib.ExitStack() as slots:
        record.update(device=str(job.device))
        # Ray starts a job only where devices are free.
        for device in [] if record.status.job else _devices(run, job):
            slot = slots.enter_context(contextlib.closing(_Slot(run, device, record)))
            for event in slot.wait(stop):
                yield event
                _raise_if_ended(run, stop)
        record.update(state="running", started_at=time.time(), stage="Loading")
        if _count_ranks(run) > 1:
            from core.runs.ranks.supervisor import work_by_ranks

            yield from work_by_ranks(run, data, stop, record)
        else:
            yield from carry_out(run, job, stop, record)


def carry_out(run: Run, job: "Job", stop: Stop, record: Record) -> Generator[Event, None, None]:
    """Do the job, write down each event before it is yielded, and save checkpoints and result.

    Raises Ended if a person or a signal stops it; the checkpoint is saved then.
    """
    from core.runs import artefacts

    checkpoints = _Sparing()
    kept_epochs = _Sparing()
    try:
        for event in job.events():
            record.take(event)
            artefacts.save_initial(run, job)
            yield event
            if isinstance(event, EpochEnd) and kept_epochs.due(0):
                with kept_epochs:
                    artefacts.save_epoch(run, job, event.epoch)
            is_milestone = isinstance(
                event, EpochEnd | Candidate | LayersMeasured | ThinnedCandidate
            )
            if checkpoints.due(EPOCH_SAVE_SECONDS if is_milestone else BATCH_SAVE_SECONDS):
                with checkpoints:
                    artefacts.save_checkpoint(run, job)
            # A run that is finished cannot be cancelled any more.
            if not isinstance(event, Finished):
                _raise_if_ended(run, stop)
    except Ended:
        artefacts.save_checkpoint(run, job)
        artefacts.save_result(run, job)
        raise
    artefacts.save_result(run, job)
    record.end("finished", "")
    artefacts.delete_checkpoint(run)


def _count_ranks(run: Run) -> int:
    """Return how many processes work on the run together."""
    return run.recipe.devices if isinstance(run.recipe, TrainRecipe) else 1


def _devices(run: Run, job: "Job") -> list[str]:
    """Return the names of the devices that the run needs, in the order of their locks."""
    count = _count_ranks(run)
    if count == 1:
        return [str(job.device)]
    from core.training.device import choose_devices

    devices = choose_devices(run.recipe.device, count)
    return sorted({str(device) for device in devices})


def _raise_if_ended(run: Run, stop: Stop) -> None:
    """Raise Ended if a person cancelled the run, or a signal stopped this process."""
    if (run.path / "cancel").exists():
        raise Ended("cancelled", "Cancelled.")
    if stop.is_set():
        raise Ended("interrupted", "Stopped by a signal.")


class _Sparing:
    """A context manager around saving that says when saving is due again.

    It measures how long saving takes, so that saving takes only a small part of the time.
    """

    def __init__(self) -> None:
        self.began = 0.0
        self.ended = time.monotonic()
        self.seconds = 0.0

    def due(self, pause: float) -> bool:
        """Whether `pause` seconds have passed since the last time, and SAVING_SHARE allows it."""
        return time.monotonic() - self.ended > max(pause, SAVING_SHARE * self.seconds)

    def __enter__(self) -> None:
        self.began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.ended = time.monotonic()
        self.seconds = self.ended - self.began


class _Slot:
    """The lock of a device, and the queue for it.

    The queue consists of the waiting workers, so it needs no server and survives every restart.
    A worker takes the lock only if no other run that is alive has waited longer for the device.
    """

    def __init__(self, run: Run, device: str, record: Record) -> None:
        self.run = run
        self.device = device
        self.record = record
        folder = run.path.parent / ".slots"
        folder.mkdir(exist_ok=True)
        self.lock = FileLock(folder / f"{device.replace(':', '-')}.lock")
        record.update(device=device)

    def close(self) -> None:
        self.lock.release()

    def wait(self, stop: Stop) -> Generator[Event, None, None]:
        """Yield Progress until this worker has the device."""
        while True:
            began = time.monotonic()
            ahead = self._count_ahead()
            if not ahead:
                with contextlib.suppress(Timeout):
                    self.lock.acquire(blocking=False)
                    return
            stage = f"Waiting for {self.device}"
            if ahead:
                stage += f", {ahead} ahead"
            if stage != self.record.status.stage:
                self.record.update(stage=stage)
            yield Progress(stage, 0, 0, "runs")
            # Counting takes long if there are many runs. Then it happens less often.
            counting_seconds = time.monotonic() - began
            stop.wait(min(1.0, max(0.2, 10 * counting_seconds)))

    def _count_ahead(self) -> int:
        """Count the runs that are active and have waited longer for this device.

        A run whose worker is only starting counts as well, and so does one that does not know its
        device yet.
        """
        mine = (self.record.status.queued_at, self.run.id)
        ahead = 0
        for other in RunStore(self.run.path.parent).list(helpers=True):
            if other.id == self.run.id or other.state not in ("starting", "queued"):
                continue
            status = other.status
            if status.job is not None:
                continue
            is_waiting = status.device in ("", self.device)
            if is_waiting and (status.queued_at, other.id) < mine:
                ahead += 1
        return ahead


def main(arguments: list[str] | None = None) -> int:
    """Work on the run in a folder until it ends. Return 0 if it finished, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m core.runs.worker", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="the run's directory")
    parser.add_argument("--data-dir", type=Path, help="the folder of the data sets")
    parser.add_argument("--job", default="", help="the id of the Ray job that this process is")
    options = parser.parse_args(arguments)
    store = RunStore(options.folder.absolute().parent)
    run_id = options.folder.name
    data = data_root(options.data_dir)
    try:
        for _ in work(store.get(run_id), data, Stop().listen(), options.job):
            pass
        return 0 if store.get(run_id).state == "finished" else 1
    except UserError as error:  # the run was deleted
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
