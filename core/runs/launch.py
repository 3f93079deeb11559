"""Start, cancel and resume runs, each in a process that outlives the one that started it."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from core.config import data_root
from core.errors import UserError
from core.runs.run import Run, State, Status, explain_unwritable, read_status, write_status
from core.runs.store import RunStore

_STARTABLE: frozenset[State] = frozenset({"created"})
_RESUMABLE: frozenset[State] = frozenset(
    {"created", "interrupted", "failed", "cancelled", "starting", "queued", "running"}
)
_OVER: frozenset[State] = frozenset({"finished", "failed", "cancelled"})

_CODE = Path(__file__).resolve().parent.parent.parent
"""The folder that contains the package `core`."""

_children: list[subprocess.Popen[bytes]] = []
"""The workers of this process. They are kept until they end, so that none stays a zombie."""


def start(run: Run, data: str | Path | None = None) -> Run:
    """Start a worker on a run that never had one. A run that had one is left alone.

    `data` is the folder of the data sets (default: `core.config.data_root()`). Returns the run as
    it is afterwards. Raises UserError if no process can be started.
    """
    return _launch(run, data, _STARTABLE)


def resume(run: Run, data: str | Path | None = None) -> Run:
    """Continue a stopped run from its last checkpoint. Other runs are left alone.

    Arguments, result and errors are those of `start`.
    """
    return _launch(run, data, _RESUMABLE)


def cancel(run: Run) -> None:
    """Ask the worker to stop at the next event, with a checkpoint.

    A run without a worker is cancelled at once, unless it is over.
    """
    with explain_unwritable(run.path.parent):
        (run.path / "cancel").touch()
        with _try_lock(run) as locked:
            if not locked:
                return
            status = read_status(run.path)
            if status.state not in _OVER:
                _change_status(run, status, state="cancelled", message="Cancelled.")


def reopen(run: Run, states: frozenset[State] = _RESUMABLE) -> bool:
    """Prepare a run for a new worker, and return whether that is possible.

    It is possible if no worker is at it and its status on file has one of `states`.
    """
    with explain_unwritable(run.path.parent), _try_lock(run) as locked:
        status = read_status(run.path)
        if not locked or status.state not in states or status.starting:
            return False
        (run.path / "cancel").unlink(missing_ok=True)
        _change_status(run, status, state="starting", message="", stage="Starting")
        return True


@contextlib.contextmanager
def _try_lock(run: Run) -> Iterator[bool]:
    """Hold the lock of the run if no worker holds it, and yield whether it is held here."""
    try:
        lock = FileLock(run.path / "lock").acquire(timeout=0.1)
    except Timeout:
        yield False
        return
    with lock:
        yield True


def _change_status(run: Run, status: Status, **changes: Any) -> None:
    write_status(run.path, status.model_copy(update=changes))


def _launch(run: Run, data: str | Path | None, states: frozenset[State]) -> Run:
    """Reopen the run and start its worker, if it is in one of `states`. Return it as it is then."""
    store = RunStore(run.path.parent)
    if not reopen(run, states):
        return store.get(run.id)
    try:
        _spawn(run, data_root(data))
    except OSError as error:
        with contextlib.suppress(OSError):
            _change_status(run, read_status(run.path), state="failed", message=str(error))
        raise UserError(f"No worker could be started: {error.strerror or error}.") from error
    return store.get(run.id)


def _spawn(run: Run, data: Path) -> None:
    """Start a worker in a session of its own, without terminal and pipes. It prints to the log."""
    command = [sys.executable, "-m", "core.runs.worker", str(run.path), "--data-dir", str(data)]
    with (run.path / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_environment(),
            **_detached(),
        )
    _children.append(process)
    _children[:] = [child for child in _children if child.poll() is None]


def _environment() -> dict[str, str]:
    """Return this process's environment, with the package `core` on the path."""
    paths = [str(_CODE)]
    if os.environ.get("PYTHONPATH"):
        paths.append(os.environ["PYTHONPATH"])
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def _detached() -> dict[str, Any]:
    """Return the options of Popen that let a process outlive this one."""
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        return {"creationflags": flags}
    return {"start_new_session": True}
