"""The heartbeat of a worker, which decides where its lock cannot be seen.

Locks do not reach other machines on every shared folder: NFS passes them on from version 4, and
some file systems never do. So whoever works on a folder also keeps the file `alive` in it, with the
name of its machine, and touches it every two seconds. A worker elsewhere is alive if the file is
younger than a minute. The clocks of the machines must agree within some seconds.
"""

import contextlib
import json
import os
import secrets
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from core.files import write_atomically
from core.machine import host_name
from core.runs.lock_probe import are_locks_trusted

BEAT_SECONDS = 2.0
"""The time between two heartbeats."""

STALE_SECONDS = 60.0
"""A worker on another machine without a heartbeat for so long is taken for lost."""

_BEAT = "alive"


@contextlib.contextmanager
def beating(folder: Path) -> Iterator[None]:
    """Keep `alive` and touch `lock` while the block runs, until the process is frozen.

    A process that thaws after another one took its place ends at once, and writes nothing more.
    """
    mine = json.dumps({"host": host_name(), "pid": os.getpid(), "token": secrets.token_hex(8)})
    file = folder / _BEAT
    with contextlib.suppress(OSError):  # of a full disk; the lock says the same on this machine
        write_atomically(file, mine.encode(), lasting=False)
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_SECONDS):
            with contextlib.suppress(OSError):
                os.utime(folder / "lock")
                if file.read_text() != mine:
                    print("Another process has taken over this work.", file=sys.stderr, flush=True)
                    os._exit(1)
                os.utime(file)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(OSError):
            if file.read_text() == mine:
                file.unlink()


def is_held_elsewhere(folder: Path) -> bool:
    """Whether a worker whose lock cannot be trusted here gives signs of life."""
    age = silent_seconds(folder)
    return age is not None and age < STALE_SECONDS


def silent_seconds(folder: Path) -> float | None:
    """Return the age of the heartbeat; None if there is none, or if the lock says more."""
    try:
        # Opening a file makes NFS ask the server for its date, which may be remembered otherwise.
        with (folder / _BEAT).open("rb") as file:
            host = json.load(file)["host"]
            facts = os.fstat(file.fileno())
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if host == host_name() and are_locks_trusted(facts.st_dev):
        return None
    return time.time() - facts.st_mtime


def forget_beat(folder: Path) -> None:
    """Take the worker for lost. Call it only if its end is known from elsewhere.

    Should it have been frozen instead, it finds that the file is not its own when it thaws.
    """
    with contextlib.suppress(OSError):
        write_atomically(folder / _BEAT, b"{}")
