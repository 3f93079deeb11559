"""The runs that were sent to a cluster, and the process that looks after them."""

import contextlib
import secrets
import time
from pathlib import Path
from typing import Any

from core.runs.lock import RunLock, is_lock_held
from core.runs.run import ACTIVE, STARTING_SECONDS, RayJob, Run, read_status, write_status
from core.runs.store import RunStore

WAITING_FOLDER = ".cluster"
"""The folder beside the runs that has the lock and the log of the dispatcher."""

STARTING = "starting"
"""The file in it that is there while a dispatcher starts."""

_STOP = "stop-job"
"""The file in a run's folder that asks the dispatcher to end its job by force."""


def new_job(run: Run, address: str, data: Path) -> RayJob:
    """Return a job for the run that no other attempt has."""
    job_id = f"secateur-{run.id}-{secrets.token_hex(3)}"
    return RayJob(address=address, id=job_id, data=str(data.absolute()))


def waiting_runs(root: Path) -> list[Run]:
    """Return the runs that a cluster has or gets, also those whose worker has just been lost."""
    runs = RunStore(root).list(helpers=True)
    return [run for run in runs if run.status.job and run.status.state in ACTIVE]


def change_waiting(run: Run, **changes: Any) -> None:
    """Change the status of a run that waits for the cluster, if it still does so for this job."""
    with contextlib.suppress(OSError), RunLock(run.path) as lock:
        if not lock.take(0.1):
            return
        status = read_status(run.path)
        changed = status.model_copy(update=changes)
        if status.waits_for_cluster and status.job == run.status.job and changed != status:
            write_status(run.path, changed)


def ask_to_stop(run: Run) -> None:
    """Ask the dispatcher to end the run's job by force."""
    (run.path / _STOP).touch()


def take_stop_request(run: Run) -> bool:
    """Return whether `ask_to_stop` was called, and forget it."""
    with contextlib.suppress(OSError):
        (run.path / _STOP).unlink()
        return True
    return False


def needs_dispatcher(root: Path) -> bool:
    """Whether runs wait for a cluster and no process looks after them, nor was just started."""
    folder = root / WAITING_FOLDER
    # Without a cluster there is no folder, and a page need not list all runs for this.
    if not folder.exists() or is_lock_held(folder) or not waiting_runs(root):
        return False
    with contextlib.suppress(OSError):
        return time.time() - (folder / STARTING).stat().st_mtime > STARTING_SECONDS
    return True
