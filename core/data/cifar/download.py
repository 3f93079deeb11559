"""Download CIFAR's binary archive, resume a stopped download, and check the published SHA-256."""

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Iterator
from pathlib import Path

from core.data.cifar.facts import Cifar, CifarBatch, Unavailable
from core.data.cifar.local import read_official
from core.events import Event, Progress

_TIMEOUT = 15.0  # seconds without a byte
MAX_ATTEMPTS = 4
PROGRESS_BYTES = 2**20  # bytes from one event to the next; on a slow line half a second


def partial_path(facts: Cifar, root: Path) -> Path:
    """Return the file that keeps an incomplete download until the next attempt."""
    return root / f"{facts.binary.archive}.part"


def download_batches(
    facts: Cifar, address: str, root: Path
) -> Generator[Event | CifarBatch, None, None]:
    """Download the archive at `address` and yield its batches.

    If the download is stopped or fails, the bytes so far stay in `root`, and the next one continues
    from them. They are deleted if they turn out to be wrong, or if the disk is full. Raises
    Unavailable, and OSError from the disk.
    """
    path = partial_path(facts, root)
    try:
        yield from _download_official(facts, address, path)
        yield from read_official(facts, path, facts.binary)
    except Unavailable:
        if path.exists() and path.stat().st_size >= facts.archive_bytes:
            path.unlink()
        raise
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _download_official(facts: Cifar, address: str, path: Path) -> Iterator[Event]:
    """Download the archive to `path`. Raises Unavailable if its checksum is wrong."""
    resumed = path.exists()
    yield from _complete(facts, address, path)
    if (yield from _is_official(facts, path)):
        return
    path.unlink()
    if resumed:
        # Perhaps only the older bytes were wrong.
        yield from _complete(facts, address, path)
        if (yield from _is_official(facts, path)):
            return
    raise Unavailable("what it sent does not have the official SHA-256")


def _complete(facts: Cifar, address: str, path: Path) -> Iterator[Event]:
    """Download the bytes that `path` lacks, in several connections if they break."""
    for attempt in range(1, MAX_ATTEMPTS + 1):
        size = _size(path)
        if size == facts.archive_bytes:
            return
        # A file that is too long is downloaded anew.
        start = size if size < facts.archive_bytes else 0
        try:
            yield from _receive(facts, address, path, start)
        except (_ConnectionBroke, http.client.HTTPException) as error:
            got_nothing = path.exists() and path.stat().st_size == size
            if attempt == MAX_ATTEMPTS or got_nothing:
                raise Unavailable(str(error) or type(error).__name__) from error
    if path.stat().st_size != facts.archive_bytes:
        raise Unavailable("the connection broke several times")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class _ConnectionBroke(Exception):
    """An error of the network. The network and the disk both raise OSError."""


def _receive(facts: Cifar, address: str, path: Path, start: int) -> Iterator[Event]:
    """Write the answer of the server to `path`, from byte `start` on if the server can resume."""
    headers = {"User-Agent": "Secateur", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(address, headers=headers)
    with _open_address(request, path) as response:
        if response.status == 200 and response.length not in (None, facts.archive_bytes):
            raise Unavailable(
                f"it offers {response.length:,} bytes instead of {facts.archive_bytes:,}"
            )
        content_range = response.headers.get("Content-Range", "")
        resumes = response.status == 206 and content_range.startswith(f"bytes {start}-")
        with path.open("ab" if resumes else "wb") as file:
            size = start if resumes else 0
            yield _downloaded(facts, size)
            reported_size = size
            reported_at = time.monotonic()
            while chunk := _read_chunk(response):
                file.write(chunk)
                size += len(chunk)
                if size > facts.archive_bytes:
                    raise Unavailable("it sent more than the official archive")
                elapsed = time.monotonic() - reported_at
                if size - reported_size >= PROGRESS_BYTES or elapsed > 0.5:
                    yield _downloaded(facts, size)
                    reported_size = size
                    reported_at = time.monotonic()


def _downloaded(facts: Cifar, size: int) -> Progress:
    return Progress(f"Downloading {facts.name}", size, facts.archive_bytes, "bytes")


def _open_address(request: urllib.request.Request, path: Path) -> http.client.HTTPResponse:
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            # `path` has more bytes than the server. The next download begins anew.
            path.unlink(missing_ok=True)
        raise Unavailable(f"it answered {error.code} {error.reason}") from error
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise Unavailable(f"it cannot be reached ({reason})") from error
    return response


def _read_chunk(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(PROGRESS_BYTES)
    except OSError as error:
        raise _ConnectionBroke(f"the connection broke ({error})") from error


def _is_official(facts: Cifar, path: Path) -> Generator[Event, None, bool]:
    """Return whether `path` has the published SHA-256, yielding progress."""
    digest = hashlib.sha256()
    done = 0
    with path.open("rb") as file:
        while chunk := file.read(2**24):
            digest.update(chunk)
            done += len(chunk)
            yield Progress(f"Checking {facts.name}", done, facts.archive_bytes, "bytes")
    return digest.hexdigest() == facts.archive_sha256
