"""Checks before a run begins that its owner and the disk have room for it."""

import math
import shutil
from pathlib import Path

from core.errors import UserError
from core.runs.access.access import Access
from core.runs.listing import list_runs
from core.runs.run import Run
from core.runs.space.disk_use import disk_use
from core.runs.trash import total_bytes

_GB = 10**9
_FREE_SOME = "delete runs or their checkpoints with Clean up on the Runs page, and empty the trash"


def check_start(run: Run) -> None:
    """Raise UserError if the one who read the run may not start it, or not now."""
    run.access.check_change(run)
    check_limits(run.access, run.path.parent, run.id)


def check_limits(access: Access, root: Path, run_id: str = "") -> None:
    """Raise UserError, with what to do, if no run may be started now.

    root: the folder of the runs. run_id: a run that is about to start, and does not count.
    """
    access.check_write()
    rules = access.rules
    if rules.most_runs is not None:
        _check_number(access, rules.most_runs, root, run_id)
    if rules.free_gb is not None:
        _check_free(rules.free_gb, root)
    if rules.runs_gb is not None:
        _check_size(rules.runs_gb, root)


def _check_number(access: Access, most: int, root: Path, run_id: str) -> None:
    runs, _ = list_runs(root)
    own = [run for run in runs if run.active and access.owns(run) and run.id != run_id]
    if len(own) >= most:
        are = "1 run is" if len(own) == 1 else f"{len(own)} runs are"
        raise UserError(
            f"{are} queued or running for you, and {most} may be: wait for one, or cancel one."
        )


def _check_free(least: float, root: Path) -> None:
    folder = next(path for path in (root, *root.parents) if path.exists())
    free = shutil.disk_usage(folder).free / _GB
    if free < least:
        raise UserError(
            f"The disk of the runs has {free:.1f} GB free, and {least:g} GB must stay free:"
            f" {_FREE_SOME}."
        )


def _check_size(most: float, root: Path) -> None:
    runs, _ = list_runs(root)
    used = (disk_use(runs, math.inf).total + total_bytes(root / ".trash")) / _GB
    if used >= most:
        raise UserError(f"All runs take {used:.1f} GB, and {most:g} GB may be: {_FREE_SOME}.")
