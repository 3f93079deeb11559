"""Write down what a worker does: events.jsonl, log.txt and status.json."""

import contextlib
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.accuracy import best_epoch, chosen_by
from core.events import EpochEnd, Event, Finished, Progress, Pruned
from core.files import write_atomically
from core.runs.event_lines import epoch_ends, follow_history, read_events, to_lines
from core.runs.run import Run, State, read_status, write_status

STATUS_SECONDS = 0.25
"""The least time between two writings of status.json that report progress."""

SPARKLINE = 60
"""The most accuracies in status.json. All of them are in events.jsonl."""

MOST_BATCH_LOSSES = 240
"""The most losses of batches in status.json. If there are more, they are thinned evenly."""


class Record:
    """Writes the events, status and log of a run. Used only by the worker that holds its lock."""

    def __init__(self, run: Run) -> None:
        self.path = run.path
        self.status = read_status(run.path)
        self._written = 0.0
        # Time and progress at the first batch of this process.
        self._start: tuple[float, float] | None = None
        self._ends: list[dict[str, Any]] = []

    def follow(self, history: Sequence[Mapping[str, Any]] | None) -> None:
        """Make the events and the status agree with the checkpoint that the run continues from.

        history: the rows of its `core.training.history.History`; None without a checkpoint. The
        events may have fewer epochs after damage to the file, and more after a kill. Call it before
        the first event.
        """
        file = self.path / "events.jsonl"
        events = read_events(file)
        followed = follow_history(events, history)
        if followed == events:
            _end_torn_line(file)
        else:
            write_atomically(file, to_lines(followed))
        self._ends = epoch_ends(followed)
        if self._ends or self.status.epoch:
            self.update(epoch=len(self._ends), **self._accuracy_figures())

    def take(self, event: Event) -> None:
        """Write `event` to the files. Progress only changes the status, and not too often."""
        if isinstance(event, Progress):
            self._take_progress(event)
            return
        with (self.path / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(event.to_dict()) + "\n")
            if isinstance(event, EpochEnd | Finished):
                file.flush()
                os.fsync(file.fileno())
        self.log(str(event))
        if isinstance(event, Pruned):
            self.update(kept=event.kept, prunable=event.prunable)
        elif isinstance(event, EpochEnd):
            self._take_epoch(event)
        elif isinstance(event, Finished):
            self._take_summary(event)

    def _take_progress(self, event: Progress) -> None:
        if time.monotonic() - self._written < STATUS_SECONDS:
            return
        # The estimate of the time that is left needs the progress to be in the status already.
        progress = {
            "stage": event.stage,
            "done": event.done,
            "total": event.total,
            "unit": event.unit,
        }
        self.status = self.status.model_copy(update=progress)
        self.update(
            loss=event.loss, seconds_left=self._seconds_left(), batch_losses=self._losses(event)
        )

    def _losses(self, event: Progress) -> list[tuple[float, float]]:
        """Return the losses of the batches so far, with that of this event if it has one."""
        losses = self.status.batch_losses
        if event.loss is None or not event.total:
            return losses
        place = self.status.epoch + event.done / event.total
        # A resumed run trains some batches again.
        losses = [(earlier, loss) for earlier, loss in losses if earlier < place]
        losses.append((round(place, 4), event.loss))
        return _thin_evenly(losses) if len(losses) > MOST_BATCH_LOSSES else losses

    def _take_epoch(self, event: EpochEnd) -> None:
        # After a kill an epoch may be trained again. Its new accuracy replaces the old ones.
        self._ends[event.epoch - 1 :] = [event.to_dict()]
        self.update(
            epoch=event.epoch,
            done=0,
            loss=event.train_loss,
            seconds_left=self._seconds_left(),
            **self._accuracy_figures(),
        )

    def _accuracy_figures(self) -> dict[str, Any]:
        """Return the fields of the status that follow from the epochs so far."""
        if not self._ends:
            return {
                "test_accuracy": None,
                "best_accuracy": None,
                "best_by": None,
                "accuracies": [],
            }
        accuracies = [end["test_accuracy"] for end in self._ends]
        return {
            "test_accuracy": accuracies[-1],
            "best_accuracy": best_epoch(self._ends)["test_accuracy"],
            "best_by": chosen_by(self._ends[-1]),
            "accuracies": _thin(accuracies),
        }

    def _take_summary(self, event: Finished) -> None:
        summary = event.summary
        self.update(
            summary=summary,
            kept=summary.kept,
            prunable=summary.prunable,
            test_accuracy=summary.test_accuracy,
            best_accuracy=summary.best_accuracy,
            best_by=summary.best_by,
            batch_losses=[],
        )

    def update(self, **changes: Any) -> None:
        """Write the status with these fields changed."""
        self.status = self.status.model_copy(update=changes)
        write_status(self.path, self.status)
        self._written = time.monotonic()

    def end(self, state: State, message: str) -> None:
        """Write the last status. If even this fails, the free lock says "interrupted"."""
        if message:
            self.log(message)
        with contextlib.suppress(OSError):
            (self.path / "cancel").unlink(missing_ok=True)
        try:
            self.update(state=state, message=message, seconds_left=None)
        except OSError:
            self._overwrite_status()

    def _overwrite_status(self) -> None:
        """Write the status into the existing file, for which a full disk still has room."""
        with contextlib.suppress(OSError), (self.path / "status.json").open("r+b") as file:
            file.write(self.status.model_dump_json().encode())
            file.truncate()

    def reload(self) -> None:
        """Read the status again, after another process wrote it."""
        self.status = read_status(self.path)

    def log(self, text: str) -> None:
        """Append a line with the local time to log.txt."""
        append_log(self.path, text)

    def _seconds_left(self) -> float | None:
        """Estimate the time to the end from the speed of this process; None until there is one."""
        if self.status.unit != "batches":
            return None
        now = time.monotonic()
        progress = self.status.progress
        if self._start is None:
            self._start = (now, progress)
        start_time, start_progress = self._start
        elapsed = now - start_time
        done = progress - start_progress
        if done <= 0 or elapsed <= 1:
            return None
        return elapsed * (1 - progress) / done


def append_log(folder: Path, text: str) -> None:
    """Append a line with the local time to the log of the run in `folder`, if that is possible."""
    line = f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n"
    with (
        contextlib.suppress(OSError),
        (folder / "log.txt").open("a", encoding="utf-8", errors="replace") as file,
    ):
        file.write(line)


def _thin(values: list[float]) -> list[float]:
    """Choose at most SPARKLINE of the values, evenly spaced, with the last one among them."""
    stride = math.ceil(len(values) / SPARKLINE)
    return values[::-stride][::-1]


def _thin_evenly(losses: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Keep at most half of MOST_BATCH_LOSSES, evenly spaced, with the first and the last one."""
    distance = 2 * (losses[-1][0] - losses[0][0]) / (MOST_BATCH_LOSSES - 4)
    kept = [losses[0]]
    for loss in losses[1:-1]:
        if loss[0] - kept[-1][0] >= distance:
            kept.append(loss)
    return [*kept, losses[-1]]


def _end_torn_line(path: Path) -> None:
    """End a last line that a kill cut short, so that the next event gets a line of its own."""
    with contextlib.suppress(FileNotFoundError), path.open("rb+") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")
