"""Start, cancel and resume runs as processes of their own, which outlive whoever started them."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from core.config import data_root
from core.errors import UserError
from core.runs.run import Run, read_status, writable, write_status
from core.runs.store import RunStore

STARTABLE = frozenset({"created"})
RESUMABLE = frozenset({"created", "interrupted", "failed", "cancelled", "starting", "queued", "running"})
_CODE = Path(__file__).resolve().parent.parent.parent


def start(run: Run, data: str | Path | None = None) -> Run:
    """Start a worker on a run that never had one; a run that has is left alone. The run as it then is.

    `data` is the folder of the data sets (default: `core.config.data_root()`). Raises UserError if no process can
    be started.
    """
    return _launch(run, data, STARTABLE)


def resume(run: Run, data: str | Path | None = None) -> Run:
    """Continue an interrupted, failed or cancelled run from its last checkpoint; others are left alone."""
    return _launch(run, data, RESUMABLE)


def cancel(run: Run) -> None:
    """Ask the worker to stop at the next event, with a checkpoint; a run without a worker is cancelled at once."""
    with writable(run.path.parent):
        (run.path / "cancel").touch()
        with _held(run) as mine:
            if mine and (status := read_status(run.path)).state not in ("finished", "failed", "cancelled"):
                write_status(run.path, status.model_copy(update={"state": "cancelled", "message": "Cancelled."}))


def reopen(run: Run, states: frozenset[str] = RESUMABLE) -> bool:
    """Let the run be worked on again, if the status on file is one of `states` and nobody is at it: whether it may."""
    with writable(run.path.parent), _held(run) as mine:
        status = read_status(run.path)
        if not mine or status.state not in states or status.starting:
            return False
        (run.path / "cancel").unlink(missing_ok=True)
        write_status(run.path, status.model_copy(update={"state": "starting", "message": "", "stage": "Starting"}))
        return True


@contextlib.contextmanager
def _held(run: Run):
    """Hold the run's lock, if no worker does: whether it is held."""
    try:
        lock = FileLock(run.path / "lock").acquire(timeout=0.1)
    except Timeout:
        yield False
        return
    with lock:
        yield True


def _launch(run: Run, data: str | Path | None, states: frozenset[str]) -> Run:
    """Reopen the run and spawn its worker, if it is there to be worked on."""
    store = RunStore(run.path.parent)
    if not reopen(run, states):
        return store.get(run.id)
    try:
        _spawn(run, data_root(data))
    except OSError as error:
        with contextlib.suppress(OSError):
            status = read_status(run.path)
            write_status(run.path, status.model_copy(update={"state": "failed", "message": str(error)}))
        raise UserError(f"No worker could be started: {error.strerror or error}.") from error
    return store.get(run.id)


def _spawn(run: Run, data: Path) -> None:
    """A detached worker: own session, no terminal, no pipes; what it prints goes to the run's log."""
    detached = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW} \
        if os.name == "nt" else {"start_new_session": True}
    path = os.pathsep.join(filter(None, [str(_CODE), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    with (run.path / "log.txt").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "core.runs.worker", str(run.path), "--data-dir", str(data)],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, **detached)
    _children.append(process)
    _children[:] = [child for child in _children if child.poll() is None]


_children: list[subprocess.Popen] = []  # kept until they end, so that none is left a zombie
