"""The lock of a run, which its worker holds as long as it lives.

Whoever starts, changes or deletes a run takes the lock first, and decides while it holds it. Taking
the lock never makes a folder, so nothing brings back a run that was deleted in the meantime.

A worker on another machine, whose lock may not be seen here, counts by its heartbeat.
"""

import os
import sys
import time
from pathlib import Path

from filelock import FileLock, Timeout

from core.runs.heartbeat import is_held_elsewhere
from core.runs.lock_probe import NO_LOCKS

if sys.platform != "win32":
    import fcntl

_RETRY_SECONDS = 0.01


class RunLock:
    """The lock in the folder of a run. Leaving the `with` block releases it.

    name: of its file. Only "lock" says that a worker is at the run.
    """

    def __init__(self, folder: Path, name: str = "lock") -> None:
        self.path = folder / name
        self._descriptor: int | None = None
        self._windows_lock: FileLock | None = None

    def __enter__(self) -> "RunLock":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def take(self, timeout: float) -> bool:
        """Take the lock within `timeout` seconds, and return whether that was possible.

        Raises FileNotFoundError if the folder is not there.
        """
        deadline = time.monotonic() + timeout
        while is_held_elsewhere(self.path.parent) or not self._try():
            if time.monotonic() > deadline:
                return False
            time.sleep(_RETRY_SECONDS)
        return True

    def release(self) -> None:
        """Release the lock if it is held."""
        if self._windows_lock is not None:
            self._windows_lock.release()
            self._windows_lock = None
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _try(self) -> bool:
        if sys.platform == "win32":
            return self._try_on_windows()
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(descriptor, fcntl.LOCK_EX)
            # The folder may have been moved to the trash before the lock was taken.
            if os.path.samestat(os.fstat(descriptor), self.path.stat()):
                self._descriptor = descriptor
                return True
        except BlockingIOError:
            pass
        finally:
            if self._descriptor is None:
                os.close(descriptor)
        return False

    def _try_on_windows(self) -> bool:
        self.path.parent.stat()  # raises FileNotFoundError: FileLock would make the folder
        lock = FileLock(self.path, thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        self._windows_lock = lock
        return True


def is_lock_held(folder: Path) -> bool:
    """Check whether a worker holds the lock of the run in `folder`.

    The check takes a shared lock, so that two processes that check at the same time do not mistake
    each other for a worker.
    """
    lock = folder / "lock"
    try:
        if sys.platform == "win32":
            # Windows has no shared locks. Another process that checks is done in a moment.
            FileLock(lock).acquire(timeout=0.02, poll_interval=0.002).lock.release()
        else:
            with lock.open("rb") as file:
                _lock(file.fileno(), fcntl.LOCK_SH)
        return is_held_elsewhere(folder)
    except (BlockingIOError, Timeout):
        return True
    except OSError:
        # There is no lock yet, or the folder cannot be read. Either way it has no worker.
        return False


def _lock(descriptor: int, kind: int) -> None:
    """Lock an open file. Raises BlockingIOError if another process holds it.

    Where the file system has no locks, the heartbeat alone decides.
    """
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
