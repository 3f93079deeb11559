"""What a worker writes down while it works: events.jsonl, log.txt and, last, status.json."""

import contextlib
import json
import time

from core.events import EpochEnd, Event, Finished, Progress, Pruned
from core.runs.run import Run, read_status, write_status
from core.runs.store import RunStore

STATUS_SECONDS = 0.25  # between two looks that a page can take at a running batch
SPARKLINE = 60  # accuracies in a status; all of them are in events.jsonl


class Record:
    """The pen of the one worker that holds the run's lock."""

    def __init__(self, run: Run):
        self.path = run.path
        self.status = read_status(run.path)
        self._written = 0.0
        self._start: tuple[float, float] | None = None  # (time, progress) at the first batch of this process
        _end_torn_line(self.path / "events.jsonl")
        self._accuracies = [row["test_accuracy"] for row in RunStore(run.path.parent).epochs(run.id)]

    def take(self, event: Event) -> None:
        """Write `event` down; of Progress only what a person can follow."""
        if isinstance(event, Progress):
            if time.monotonic() - self._written >= STATUS_SECONDS:
                now = {"stage": event.stage, "done": event.done, "total": event.total, "unit": event.unit}
                self.status = self.status.model_copy(update=now)
                self.update(loss=event.loss, seconds_left=self._seconds_left())
            return
        with (self.path / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(event.to_dict()) + "\n")
        self.log(str(event))
        if isinstance(event, Pruned):
            self.update(summary={"kept": event.kept, "prunable": event.prunable})
        elif isinstance(event, EpochEnd):
            self._accuracies[event.epoch - 1:] = [event.test_accuracy]  # an epoch may be trained again after a kill
            self.update(epoch=event.epoch, done=0, test_accuracy=event.test_accuracy, loss=event.train_loss,
                        best_accuracy=max(self._accuracies), accuracies=_thinned(self._accuracies),
                        seconds_left=self._seconds_left())
        elif isinstance(event, Finished):
            found = {name: event.summary[name] for name in ("test_accuracy", "best_accuracy") if name in event.summary}
            self.update(summary=event.summary, **found)

    def update(self, **changes) -> None:
        """Write a status that differs from the last one by `changes`."""
        self.status = self.status.model_copy(update=changes)
        write_status(self.path, self.status)
        self._written = time.monotonic()

    def end(self, state: str, message: str) -> None:
        """The last status. Should even this not find its place on the disk, the freed lock says "interrupted"."""
        if message:
            self.log(message)
        with contextlib.suppress(OSError):
            (self.path / "cancel").unlink(missing_ok=True)
        try:
            self.update(state=state, message=message, seconds_left=None)
        except OSError:  # no room for a second file: the first one's own blocks take this status as well
            with contextlib.suppress(OSError), (self.path / "status.json").open("r+b") as file:
                file.write(self.status.model_dump_json().encode())
                file.truncate()

    def log(self, text: str) -> None:
        """A line for log.txt, with the local time."""
        with contextlib.suppress(OSError), (self.path / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n")

    def _seconds_left(self) -> float | None:
        """From the pace of this process so far; None until there is one."""
        now, progress = time.monotonic(), self.status.progress
        if self.status.unit != "batches":
            return None
        self._start = self._start or (now, progress)
        elapsed, done = now - self._start[0], progress - self._start[1]
        return elapsed * (1 - progress) / done if done > 0 and elapsed > 1 else None


def _thinned(values: list[float]) -> list[float]:
    """At most SPARKLINE of the values, evenly spaced, the last one among them."""
    stride = -(-len(values) // SPARKLINE)
    return values[::-stride][::-1]


def _end_torn_line(path) -> None:
    """A kill may have cut the last line short: end it, so that the next event does not disappear with it."""
    with contextlib.suppress(FileNotFoundError), path.open("rb+") as file:
        if file.seek(0, 2) and file.seek(-1, 2) is not None and file.read(1) != b"\n":
            file.write(b"\n")
