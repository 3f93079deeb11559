"""Have a run copied to the trackers by a process of its own, which the run never waits for."""

import contextlib
import os
import subprocess
import sys
from typing import Any

from core.runs.launch import child_environment
from core.runs.run import Run
from core.runs.trackers.settings import trackers_of_environment

_processes: list[subprocess.Popen[bytes]] = []
"""The process that follows this one's runs, if there is one. A sweep has one for all its runs."""


def mirror_in_background(run: Run) -> None:
    """Have the run copied to the trackers until it is over. Does nothing if none is switched on.

    It never waits, and never fails: `python -m core runs mirror` sends later what is missing.
    """
    if not trackers_of_environment().is_any_on:
        return
    with contextlib.suppress(OSError):
        pipe = _living_process().stdin
        assert pipe is not None
        os.write(pipe.fileno(), f"{run.path}\n".encode())


def _living_process() -> subprocess.Popen[bytes]:
    if not _processes or _processes[0].poll() is not None:
        _processes[:] = [_start_process()]
    return _processes[0]


def _start_process() -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "core.runs.trackers.process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=child_environment(),
        **_apart(),
    )
    if sys.platform != "win32":
        assert process.stdin is not None
        os.set_blocking(process.stdin.fileno(), False)  # a frozen process stops no run
    return process


def _apart() -> dict[str, Any]:
    """Return the options of Popen that keep Ctrl-C away from a process."""
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        return {"creationflags": flags}
    # No session of its own: there Linux would not weigh its niceness against the training.
    return {"process_group": 0}
