"""Start, cancel and resume runs, each in a process that outlives the one that started it.

That process is on this machine, or on a node of the Ray cluster that RAY_ADDRESS names.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import data_root
from core.errors import UserError
from core.runs.access.limits import check_start
from core.runs.cluster.address import cluster_address
from core.runs.cluster.waiting import (
    STARTING,
    WAITING_FOLDER,
    ask_to_stop,
    needs_dispatcher,
    new_job,
    take_stop_request,
)
from core.runs.lock import RunLock
from core.runs.lock_probe import explain_untrusted_locks
from core.runs.run import RayJob, Run, State, Status, explain_unwritable, read_status, write_status
from core.runs.store import RunStore

if TYPE_CHECKING:
    from psutil import Process

_STARTABLE: frozenset[State] = frozenset({"created"})
_RESUMABLE: frozenset[State] = frozenset(
    {"created", "interrupted", "failed", "cancelled", "starting", "queued", "running"}
)
_OVER: frozenset[State] = frozenset({"finished", "failed", "cancelled"})

_START_TOLERANCE = 2.0
"""Seconds by which the start of a process may differ after the clock was set."""

_CODE = Path(__file__).resolve().parent.parent.parent
"""The folder that contains the package `core`."""

_children: list[subprocess.Popen[bytes]] = []
"""The workers of this process. They are kept until they end, so that none stays a zombie."""


def start(run: Run, data: str | Path | None = None, here: bool = False) -> Run:
    """Start a worker on a run that never had one. A run that had one is left alone.

    `data` is the folder of the data sets (default: `core.config.data_root()`). here: on this
    machine, although RAY_ADDRESS names a cluster. Returns the run as it is afterwards. Raises
    UserError if no process can be started.
    """
    return _launch(run, data, _STARTABLE, here)


def resume(run: Run, data: str | Path | None = None, here: bool = False) -> Run:
    """Continue a stopped run from its last checkpoint. Other runs are left alone.

    With `here`, a run that waits for a cluster is taken back from it. Arguments, result and errors
    are those of `start`.
    """
    return _launch(run, data, _RESUMABLE, here)


def look_after(root: Path) -> None:
    """Make sure that a process looks after the runs in `root` that were sent to a cluster."""
    if not needs_dispatcher(root):
        return
    folder = root / WAITING_FOLDER
    with explain_unwritable(root):
        (folder / STARTING).touch()
        _run_module("core.runs.cluster.dispatcher", [str(root.absolute())], folder)


def cancel(run: Run) -> None:
    """Ask the worker to stop at the next event, with a checkpoint.

    A run without a worker is cancelled at once, unless it is over. Raises UserError for a run that
    was deleted, and for one that `run.access` does not let change.
    """
    run.access.check_change(run)
    with _explain_missing(run), explain_unwritable(run.path.parent):
        (run.path / "cancel").touch()
        with _try_lock(run) as locked:
            if not locked:
                return
            status = read_status(run.path)
            if status.state not in _OVER:
                _change_status(run, status, state="cancelled", message="Cancelled.")


def reopen(
    run: Run,
    states: frozenset[State] = _RESUMABLE,
    job: RayJob | None = None,
    take_back: bool = False,
) -> bool:
    """Prepare a run for a new worker, and return whether that is possible.

    It is possible if no worker is at it and its status on file has one of `states`. The run gets
    its place in the queue here, so that the queue has the order of the starts. job: the one in
    which a cluster will work on it, None for this machine. take_back: also if it waits for a
    cluster, whose job does nothing then. Raises UserError for a run that was deleted, and for one
    that may not be started by `run.access`, or not now.
    """
    run.access.check_write()  # before the lock, which is a file
    with (
        _explain_missing(run),
        explain_unwritable(run.path.parent),
        _try_lock(run) as locked,
    ):
        status = read_status(run.path)
        if not locked or status.state not in states:
            return False
        if status.starting and not (take_back and status.waits_for_cluster):
            return False
        check_start(run)
        (run.path / "cancel").unlink(missing_ok=True)
        take_stop_request(run)
        changes: dict[str, Any] = {"state": "starting", "stage": "Starting"}
        if job is not None:
            waiting = run.path.parent / WAITING_FOLDER
            waiting.mkdir(exist_ok=True)  # before a look can find the run
            changes = {"state": "queued", "stage": "Waiting for the cluster", "worker": None}
        _change_status(run, status, message="", queued_at=time.time(), job=job, **changes)
        return True


def settle(run: Run, state: State, message: str) -> None:
    """Write down how a run ended whose worker could not, unless it goes on in another job."""
    with _explain_missing(run), _try_lock(run) as locked:
        status = read_status(run.path)
        if locked and status.state not in _OVER and status.job == run.status.job:
            _change_status(run, status, state=state, message=message)


def force_stop(run: Run) -> None:
    """Kill the worker of a run at once. The run is interrupted then, and can be resumed.

    For a worker that gives no sign of life, and so cannot be asked to stop. The cluster ends its
    jobs by itself, soon after it was asked. Raises UserError if it is not certain which process
    holds the lock of the run, or if it cannot be killed.
    """
    import psutil

    run.access.check_change(run)
    if read_status(run.path).job is not None:
        with _explain_missing(run), explain_unwritable(run.path.parent):
            ask_to_stop(run)
        look_after(run.path.parent)
        return

    process = _worker_process(run)
    try:
        process.kill()
    except psutil.Error as error:
        raise UserError(f"The process {process.pid} cannot be killed: {error}.") from None
    with (
        _explain_missing(run),
        explain_unwritable(run.path.parent),
        _try_lock(run, timeout=10) as locked,
    ):
        if not locked:
            raise UserError(
                f"The process {process.pid} was killed, but the run is still worked on."
            )
        status = read_status(run.path)
        if status.state not in _OVER:
            message = "It was stopped by force, after its process gave no sign of life."
            _change_status(run, status, state="interrupted", message=message)


def _worker_process(run: Run) -> "Process":
    """Return the process that holds the lock of the run. Raises UserError if that is not certain.

    A process id alone may belong to another process by now, so its start and its open files are
    compared as well.
    """
    import psutil

    worker = read_status(run.path).worker
    with contextlib.suppress(psutil.Error):
        if worker is not None and worker.pid != os.getpid():
            process = psutil.Process(worker.pid)
            has_same_start = abs(process.create_time() - worker.started) < _START_TOLERANCE
            if has_same_start and _has_open(process, run.path / "lock"):
                return process
    raise UserError(
        f"The process that works on “{run.name}” is not known, or runs on another machine: end it"
        " there."
    )


def _has_open(process: "Process", file: Path) -> bool:
    return any(Path(opened.path) == file.resolve() for opened in process.open_files())


@contextlib.contextmanager
def _try_lock(run: Run, timeout: float = 0.1) -> Iterator[bool]:
    """Hold the lock of the run if no worker holds it, and yield whether it is held here."""
    with RunLock(run.path) as lock:
        yield lock.take(timeout)


@contextlib.contextmanager
def _explain_missing(run: Run) -> Iterator[None]:
    """Raise the store's UserError for an error inside, if the run was deleted."""
    try:
        yield
    except UserError:
        RunStore(run.path.parent).get(run.id)
        raise


def _change_status(run: Run, status: Status, **changes: Any) -> None:
    write_status(run.path, status.model_copy(update=changes))


def _launch(run: Run, data: str | Path | None, states: frozenset[State], here: bool) -> Run:
    """Reopen the run and start its worker, if it is in one of `states`. Return it as it is then."""
    store = RunStore(run.path.parent, run.access)
    explain_untrusted_locks(store.root)  # from now on heartbeats count, too, if locks do not hold
    # What only measures another run is quick, and may be about this machine.
    address = None if here or run.is_helper else cluster_address()
    job = new_job(run, address, data_root(data)) if address else None
    if not reopen(run, states, job, take_back=here):
        return store.get(run.id)
    if job is not None:
        look_after(store.root)
        return store.get(run.id)
    try:
        _spawn(run, data_root(data))
    except OSError as error:
        with contextlib.suppress(OSError):
            _change_status(run, read_status(run.path), state="failed", message=str(error))
        raise UserError(f"No worker could be started: {error.strerror or error}.") from error
    return store.get(run.id)


def _spawn(run: Run, data: Path) -> None:
    spawn_worker("core.runs.worker", run.path, data)


def spawn_worker(module: str, folder: Path, data: Path) -> None:
    """Run a module on a folder in a session of its own, without terminal and pipes.

    It prints to the log in the folder. Raises OSError if no process can be started.
    """
    _run_module(module, [str(folder), "--data-dir", str(data)], folder)


def _run_module(module: str, words: list[str], folder: Path) -> None:
    """Run a module on these words, which prints to the log in `folder`. Raises OSError."""
    command = [sys.executable, "-m", module, *words]
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=child_environment(),
            **_detached(),
        )
    _children.append(process)
    _children[:] = [child for child in _children if child.poll() is None]


def child_environment() -> dict[str, str]:
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
