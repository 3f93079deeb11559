"""Copy a run to the trackers that are switched on. What goes wrong becomes a sentence."""

import contextlib
import re

from core.errors import UserError
from core.runs.lock import RunLock
from core.runs.record import append_log
from core.runs.run import Run
from core.runs.trackers.content import RunContent, read_run_content
from core.runs.trackers.mirror_file import MIRROR_LOCK, Mirror, read_mirror, write_mirror
from core.runs.trackers.mlflow_run import MlflowRun
from core.runs.trackers.settings import Trackers
from core.runs.trackers.tensorboard_files import TensorBoardFiles

_LONGEST_REASON = 200


class RunMirror:
    """Copies one run to the trackers, again and again while it goes on.

    Used only by the process that holds the run's mirror lock.
    """

    def __init__(self, trackers: Trackers) -> None:
        self.trackers = trackers
        self._mlflow_run: MlflowRun | None = None
        self._tensorboard: TensorBoardFiles | None = None

    def send(self, run: Run) -> Mirror:
        """Send what is new of the run, write mirror.json, and return what it says.

        A failure is a sentence in `error`, and in the run's log when it is a new one. Raises
        UserError or OSError if the run was deleted.
        """
        content = read_run_content(run)
        before = read_mirror(run.path)
        mirror = self._known(before)
        errors = []
        if self.trackers.mlflow:
            try:
                mirror = self._send_to_mlflow(content, mirror)
            # The client raises errors of many kinds, and none may reach the run.
            except Exception as error:
                self._mlflow_run = None  # what the server has is asked again
                errors.append(self._mlflow_sentence(run, error))
        if self.trackers.tensorboard is not None:
            try:
                self._write_tensorboard(content)
            except (OSError, ImportError) as error:
                errors.append(_tensorboard_sentence(error))
        mirror = mirror.model_copy(update={"error": " ".join(errors)})
        write_mirror(run.path, mirror)
        if mirror.error and mirror.error != before.error:
            append_log(run.path, mirror.error)
        return mirror

    def close(self) -> None:
        """Close the event file."""
        if self._tensorboard is not None:
            with contextlib.suppress(OSError):
                self._tensorboard.close()

    def _known(self, mirror: Mirror) -> Mirror:
        """Return what is known of the copy at this place, or else an empty one."""
        if not self.trackers.mlflow or mirror.place == self.trackers.place:
            return mirror
        return Mirror(place=self.trackers.place)

    def _send_to_mlflow(self, content: RunContent, mirror: Mirror) -> Mirror:
        if self._mlflow_run is None:
            parent = self._parent_copy(content.run)
            self._mlflow_run = MlflowRun(self.trackers, content, mirror.mlflow_run, parent)
        copy = self._mlflow_run
        found = {"mlflow_run": copy.id, "link": copy.link, "left_alone": copy.is_deleted}
        mirror = mirror.model_copy(update=found)
        write_mirror(content.run.path, mirror)  # remembered before the first figure is sent
        if not copy.is_deleted:
            copy.send(content)
        return mirror

    def _parent_copy(self, run: Run) -> str:
        """Return the id of the parent's copy in the same place, "" if there is none."""
        if run.config.parent is None:
            return ""
        mirror = read_mirror(run.path.parent / run.config.parent)
        return mirror.mlflow_run if mirror.place == self.trackers.place else ""

    def _write_tensorboard(self, content: RunContent) -> None:
        assert self.trackers.tensorboard is not None
        if self._tensorboard is None:
            self._tensorboard = TensorBoardFiles(self.trackers.tensorboard, content)
        self._tensorboard.send(content)

    def _mlflow_sentence(self, run: Run, error: Exception) -> str:
        reason = re.sub(r"//[^/\s@]*@", "//", str(error))  # a password of the address
        if "failed with exception" in reason:  # the client's words for all that a network can do
            reason = "it does not answer"
        reason = " ".join(reason.split())[:_LONGEST_REASON].rstrip(".")
        return (
            f"The run is not completely in MLflow at {self.trackers.place}: {reason}. To send what"
            f" is missing: python -m core runs mirror {run.id}"
        )


def mirror_now(run: Run, trackers: Trackers) -> Mirror:
    """Send what is missing of the run, and return where its copy is.

    Raises UserError if another process copies it at this moment, or if it was deleted.
    """
    with RunLock(run.path, MIRROR_LOCK) as lock:
        if not lock.take(timeout=1):
            raise UserError("another process is copying it at this moment")
        with contextlib.closing(RunMirror(trackers)) as mirror:
            return mirror.send(run)


def _tensorboard_sentence(error: Exception) -> str:
    if isinstance(error, ImportError):
        reason = "TensorBoard is not installed here: pip install -r requirements-trackers.txt"
    else:
        reason = str(error)
    return f"No files for TensorBoard could be written: {reason}."
