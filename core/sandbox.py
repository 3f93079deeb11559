"""Runs a function on a file of unknown origin in a child process with limits.

A hostile file then costs its child, and neither the server nor another person's session. Arguments,
events and results are JSON. What is larger, the child writes into a file of a plain format. It
never hands over a pickle.
"""

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TextIO

import psutil

from core.errors import UserError
from core.events import Event, Note, Progress

Work = Callable[..., Generator[Event, None, Any]]
"""A function of a module that takes JSON, yields Progress and Note, and returns JSON."""

_CODE = Path(__file__).resolve().parent.parent
"""The folder that contains the package `core`."""

_POLL_SECONDS = 0.02
_PATIENCE = 2.0
"""Seconds in which a child that is stopped may remove its temporary files."""

_LARGEST_OUTPUT = 64 * 2**20
"""The most bytes of JSON that a child may write."""

_EVENTS = {"progress": Progress, "note": Note}


@dataclass(frozen=True)
class Limits:
    """The limits of a child.

    seconds: the longest time without an event or a result. megabytes: the memory of its own, that
    is without files that it maps.
    """

    seconds: float
    megabytes: float


def run_limited(
    work: Work, arguments: Mapping[str, Any], limits: Limits, name: str
) -> Generator[Event, None, Any]:
    """Run `work(**arguments)` in a child process, yield its events, and return its result.

    The child ends with this generator, whatever ends it. Raises the UserError that `work` raises,
    and one that begins with `name` for each other end: a crash, or a limit that is exceeded.
    """
    with tempfile.TemporaryDirectory(prefix="secateur-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "output"
        with _started(work, arguments, path) as process, path.open("rb") as output:
            return (yield from _follow(process, output, limits, name))


@contextlib.contextmanager
def _started(
    work: Work, arguments: Mapping[str, Any], output: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    """Start the child, which writes lines of JSON to the file `output`. Stop it at the end."""
    target = f"{work.__module__}:{work.__qualname__}"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "core.sandbox", target],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.DEVNULL,
            cwd=_CODE,
        )
    assert process.stdin is not None
    try:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(arguments).encode() + b"\n")
            process.stdin.flush()
        yield process
    finally:
        _stop(process)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _follow(
    process: "subprocess.Popen[bytes]", output: Any, limits: Limits, name: str
) -> Generator[Event, None, Any]:
    """Yield the child's events, and return its result. Raises UserError for every other end."""
    deadline = time.monotonic() + limits.seconds
    rest = b""
    while True:
        # Asked before the output is read, so that nothing written before the end is missed.
        has_ended = process.poll() is not None
        *lines, rest = (rest + output.read(_LARGEST_OUTPUT)).split(b"\n")
        if output.tell() >= _LARGEST_OUTPUT:
            raise UserError(f"{name} was refused: reading it reports too much.")
        for line in lines:
            message = json.loads(line)
            if "event" in message:
                yield _event_of(message)
                deadline = time.monotonic() + limits.seconds
            elif "result" in message:
                return message["result"]
            else:
                raise UserError(_explain_end(message, limits, name))
        if has_ended:
            raise UserError(
                f"{name} was refused: the program that reads it crashed, as it does for a damaged"
                " or a hostile file."
            )
        if time.monotonic() > deadline:
            raise UserError(
                f"{name} was refused: reading it takes longer than {limits.seconds:.0f} seconds."
            )
        if _megabytes(process.pid) > limits.megabytes:
            raise UserError(_too_much_memory(limits, name))
        time.sleep(_POLL_SECONDS)


def _event_of(message: dict[str, Any]) -> Event:
    fields = dict(message)
    event: Event = _EVENTS[fields.pop("event")](**fields)
    return event


def _explain_end(message: dict[str, Any], limits: Limits, name: str) -> str:
    """Return the sentence about an exception that ended the child's work."""
    if "complaint" in message:
        return str(message["complaint"])
    if message["error"] == "MemoryError":
        return _too_much_memory(limits, name)
    return f"{name} cannot be read ({message['error']})."


def _too_much_memory(limits: Limits, name: str) -> str:
    return f"{name} was refused: reading it takes more than {limits.megabytes:,.0f} MB of memory."


def _megabytes(pid: int) -> float:
    """Return the memory of a process's own in MB, 0 if it has just ended."""
    try:
        memory = psutil.Process(pid).memory_info()
    except psutil.Error:
        return 0.0
    # Mapped files count as shared. Only Linux tells how much is.
    return (memory.rss - getattr(memory, "shared", 0)) / 1e6


# -- in the child --


def main() -> None:
    """Run the function that the first argument names, with the arguments on standard input."""
    output = _take_standard_output()
    arguments = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    # So that temporary files are removed.
    signal.signal(signal.SIGTERM, _exit)
    module, _, name = sys.argv[1].partition(":")
    try:
        work: Work = getattr(importlib.import_module(module), name)
        _report(output, {"result": _run(work(**arguments), output)})
    except UserError as error:
        _report(output, {"complaint": str(error)})
    except OSError as error:
        _report(output, {"complaint": str(error)})
    except Exception as error:
        _report(output, {"error": type(error).__name__})


def _run(events: Generator[Event, None, Any], output: TextIO) -> Any:
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            return end.value
        _report(output, event.to_dict())


def _report(output: TextIO, message: dict[str, Any]) -> None:
    output.write(json.dumps(message) + "\n")
    output.flush()


def _take_standard_output() -> TextIO:
    """Return standard output, and send whatever else is printed to standard error."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return output


def _end_with_the_parent() -> None:
    """End this process when the parent closes its pipe, which its death does, too."""
    sys.stdin.buffer.read()
    os._exit(1)


def _exit(_number: int, _frame: object) -> NoReturn:
    sys.exit(1)


if __name__ == "__main__":
    main()
