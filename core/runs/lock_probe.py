"""Find out whether locks hold in a folder: one process takes a lock, another must be refused."""

import contextlib
import errno
import secrets
import subprocess
import sys
from pathlib import Path

if sys.platform != "win32":
    import fcntl

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""The errors of a file system that has no locks."""

_OTHER_PROCESS = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(3)
"""
_REFUSED = 3
_PATIENCE = 20

_results: dict[int, str | None] = {}
"""What was found, by the number of the file system."""


def explain_untrusted_locks(folder: Path) -> str | None:
    """Return a sentence if locks do not hold in `folder`, None if they do.

    It is tried once for each file system. A folder that is missing or cannot be written says
    nothing about locks.
    """
    if sys.platform == "win32":  # it has no shared folders without locks
        return None
    try:
        device = folder.stat().st_dev
        if device not in _results:
            _results[device] = None if _do_locks_hold(folder) else _sentence(folder)
    except OSError:
        return None
    return _results[device]


def are_locks_trusted(device: int) -> bool:
    """Whether locks hold on the file system of this number, as far as it was tried."""
    return _results.get(device) is None


def _do_locks_hold(folder: Path) -> bool:
    path = folder / f".probe-{secrets.token_hex(4)}"
    try:
        with path.open("w+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            words = [sys.executable, "-I", "-S", "-c", _OTHER_PROCESS, str(path)]
            other = subprocess.run(
                words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE
            )
            return other.returncode == _REFUSED
    except subprocess.TimeoutExpired:
        return False
    except OSError as error:
        if error.errno in NO_LOCKS:
            return False
        raise
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def _sentence(folder: Path) -> str:
    return (
        f"Locks do not work in {folder}, so a run that was killed is noticed only after a minute:"
        " use a local disk or NFS version 4 for the runs."
    )
