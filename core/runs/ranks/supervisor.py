"""Starts the ranks of a run, and starts them all again if one of them dies.

The worker keeps the lock of the run and the locks of the devices. PyTorch's elastic agent, in a
thread of the worker, starts the ranks and watches them. Rank 0 writes the events and the status,
and here they are read again.
"""

import logging
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import TrainRecipe
from core.errors import UserError
from core.events import EpochEnd, Event, Finished, Note, Progress, Pruned, Summary
from core.machine import physical_cores
from core.runs.event_lines import read_events
from core.runs.ranks.process import STOP, rank_command
from core.runs.record import Record
from core.runs.run import Run, read_status
from core.runs.worker import Stop

if TYPE_CHECKING:
    from torch.distributed.launcher.api import LaunchConfig

MOST_RESTARTS = 3
_POLL_SECONDS = 0.2
_ENDING_SECONDS = 20
"""Seconds in which rank 0 saves a checkpoint, before all ranks are killed."""

_KINDS: tuple[type[Event], ...] = (EpochEnd, Note, Pruned)
_KINDS_BY_NAME = {kind.__name__.lower(): kind for kind in _KINDS}


def work_by_ranks(run: Run, data: Path, stop: Stop, record: Record) -> Generator[Event, None, None]:
    """Let the ranks work on the run to its end, and yield the events that rank 0 writes.

    Rank 0 writes how the run ended. Raises UserError if the ranks died too often. If the generator
    is closed, the ranks end with a checkpoint first.
    """
    assert isinstance(run.recipe, TrainRecipe)
    (run.path / STOP).unlink(missing_ok=True)
    agent = _Agent(run, data, run.recipe.devices)
    reader = _EventReader(run)
    agent.start()
    try:
        while agent.is_alive():
            agent.join(_POLL_SECONDS)
            if stop.is_set():
                (run.path / STOP).touch()
            yield from reader.new_events()
    finally:
        _end(run, agent)
        record.reload()
    yield from reader.new_events()
    if record.status.state == "running":
        raise UserError(
            f"A process of the training died {MOST_RESTARTS + 1} times. The log says more;"
            " the run can be resumed from its last checkpoint."
        ) from agent.error


class _Agent(threading.Thread):
    """Runs the ranks until all have ended well, or one died once too often.

    error: why the agent gave up, None if it did not.
    """

    def __init__(self, run: Run, data: Path, count: int):
        super().__init__(name="elastic agent", daemon=True)
        self.error: Exception | None = None
        self._words = rank_command(run.path, data, max(1, physical_cores() // count))
        self._config = _launch_config(run, count)

    def run(self) -> None:
        from torch.distributed.launcher.api import elastic_launch

        # It warns that it handles no signals here, and of each signal that it sends.
        logger = logging.getLogger("torch.distributed.elastic.multiprocessing.api")
        logger.setLevel(logging.ERROR)
        try:
            # A command, not a function: a function would be sent to a copy of this process's main
            # module. Signals are handled in the main thread alone, so the agent takes none over.
            elastic_launch(self._config, self._words[0])(*self._words[1:])
        except Exception as error:  # ChildFailedError, or whatever the rendezvous raises
            self.error = error


def _launch_config(run: Run, count: int) -> "LaunchConfig":
    """Return what `torchrun --standalone --nproc-per-node COUNT` does."""
    from torch.distributed.launcher.api import LaunchConfig

    return LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=run.id,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=MOST_RESTARTS,
    )


def _end(run: Run, agent: _Agent) -> None:
    """Ask the ranks to end, and kill those that do not."""
    import psutil

    stop_file = run.path / STOP
    if agent.is_alive():
        stop_file.touch()
        agent.join(_ENDING_SECONDS)
    # New ranks, which the agent starts in their place, end at once.
    while agent.is_alive():
        for child in psutil.Process().children():
            if str(run.path) in child.cmdline():
                child.kill()
        agent.join(_POLL_SECONDS)
    stop_file.unlink(missing_ok=True)


class _EventReader:
    """Reads the events that another process writes, each once."""

    def __init__(self, run: Run):
        self._path = run.path
        self._time = max((row["time"] for row in self._rows()), default=0.0)
        self._progress: Progress | None = None

    def new_events(self) -> Iterator[Event]:
        """Yield the events that are new, and the progress if it is."""
        for row in self._rows():
            if row["time"] > self._time:
                self._time = row["time"]
                yield from _event_of(row)
        status = read_status(self._path)
        progress = Progress(
            status.stage, status.done, status.total, status.unit, status.loss, time=0
        )
        if progress != self._progress:
            self._progress = progress
            yield progress

    def _rows(self) -> list[dict[str, Any]]:
        return read_events(self._path / "events.jsonl")


def _event_of(row: dict[str, Any]) -> Iterator[Event]:
    """Yield the event of a line of events.jsonl, if it is of a kind that a training has."""
    fields = dict(row)
    name = fields.pop("event")
    if name == "finished":
        yield Finished(Summary(**fields["summary"]), time=fields["time"])
    elif name in _KINDS_BY_NAME:
        yield _KINDS_BY_NAME[name](**fields)
