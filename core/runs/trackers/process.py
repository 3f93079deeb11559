"""The process that copies runs to trackers: `python -m core.runs.trackers.process`.

It reads folders of runs from standard input, one a line, and follows each until it is over. It ends
when standard input does and all runs are over. So a worker that is killed leaves it behind, and it
can still say how the run ended.
"""

import contextlib
import os
import sys
import threading
import time
from pathlib import Path

from core.errors import UserError
from core.runs.lock import RunLock
from core.runs.run import Run, read_run
from core.runs.trackers.mirror_file import MIRROR_LOCK
from core.runs.trackers.mirroring import RunMirror
from core.runs.trackers.settings import Trackers, trackers_of_environment

_LOOK_SECONDS = 1.0
"""The time between two looks at the files of a run."""

_RETRY_SECONDS = 30.0
"""The time after a failure until the next try, while the run goes on."""

_NICENESS = 10
"""The training comes first where both want the same core."""


def follow_run(folder: Path, trackers: Trackers) -> None:
    """Copy a run to the trackers until it is over, or deleted.

    If another process copies it, wait for that one first. After the end of the run there is one
    last try.
    """
    with contextlib.suppress(OSError, UserError), RunLock(folder, MIRROR_LOCK) as lock:
        while not lock.take(timeout=0):
            time.sleep(_LOOK_SECONDS)
        with contextlib.closing(RunMirror(trackers)) as mirror:
            _follow(folder, mirror)


def _follow(folder: Path, mirror: RunMirror) -> None:
    sent: tuple[object, ...] | None = None
    next_try = 0.0
    while True:
        run = read_run(folder)
        stamp = _stamp(run)
        if not run.active:
            mirror.send(run)
            return
        if stamp != sent and time.monotonic() >= next_try:
            if mirror.send(run).error:
                next_try = time.monotonic() + _RETRY_SECONDS
            else:
                sent = stamp
        time.sleep(_LOOK_SECONDS)


def _stamp(run: Run) -> tuple[object, ...]:
    """Return what differs once there is something new to send."""
    events = run.path / "events.jsonl"
    size = events.stat().st_size if events.exists() else 0
    return (size, run.state, run.config)


def main() -> None:
    """Follow the runs whose folders are on standard input."""
    if sys.platform != "win32":
        os.nice(_NICENESS)
    trackers = trackers_of_environment()
    for line in sys.stdin:
        folder = Path(line.rstrip("\n"))
        threading.Thread(target=follow_run, args=(folder, trackers)).start()


if __name__ == "__main__":
    main()
