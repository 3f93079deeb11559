"""Start and cancel the process of a sweep, which outlives the one that started it."""

from pathlib import Path

from core.config import data_root
from core.errors import UserError
from core.runs.access.limits import check_limits
from core.runs.cluster.address import cluster_address
from core.runs.launch import spawn_worker
from core.runs.run import explain_unwritable
from core.runs.sweeps.sweep import Sweep


def start(sweep: Sweep, data: str | Path | None = None) -> None:
    """Start a process that works on the sweep, or continues it. One that runs is left alone.

    `data` is the folder of the data sets (default: `core.config.data_root()`). If two are started
    at once, the second one ends by itself. The process stays on this machine, also if RAY_ADDRESS
    names a cluster for its runs. Raises UserError if no process can be started, and for a sweep
    that `sweep.access` does not let start, or not now.
    """
    if sweep.alive:
        return
    sweep.access.check_change(sweep)
    check_limits(sweep.access, sweep.path.parent.parent)
    cluster_address()  # says what is wrong with it
    allow(sweep)
    with explain_unwritable(sweep.path.parent.parent):
        sweep.starting_file.touch()
    try:
        spawn_worker("core.runs.sweeps.worker", sweep.path, data_root(data))
    except OSError as error:
        sweep.starting_file.unlink(missing_ok=True)
        raise UserError(f"No worker could be started: {error.strerror or error}.") from error


def allow(sweep: Sweep) -> None:
    """Take an earlier cancel back. Call it only where a person asks to start."""
    with explain_unwritable(sweep.path.parent.parent):
        sweep.cancel_file.unlink(missing_ok=True)


def cancel(sweep: Sweep) -> None:
    """Ask the process to stop at the next event. Its run can then be continued.

    Raises UserError for a sweep that `sweep.access` does not let change.
    """
    sweep.access.check_change(sweep)
    with explain_unwritable(sweep.path.parent.parent):
        sweep.cancel_file.touch()
