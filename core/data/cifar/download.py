"""CIFAR's binary archive from the official address: streamed, resumable, checked against its published SHA-256."""

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from core.data.cifar.facts import Batch, Cifar, Unavailable
from core.data.cifar.local import read
from core.events import Event, Progress

TIMEOUT = 15.0  # seconds without a byte
TRIES = 4
STEP = 2**20  # bytes between two events, or half a second on a slow line


def part(facts: Cifar, root: Path) -> Path:
    """Where a download that is not complete waits for the next time."""
    return root / f"{facts.binary.archive}.part"


def fetch(facts: Cifar, address: str, root: Path) -> Iterator[Event | Batch]:
    """The batches of the archive at `address`.

    What has come stays in `root` when the download is stopped or fails, for the next time to go on from; it is
    removed when it turns out wrong, and when the disk is full. Raises Unavailable, and OSError from the disk.
    """
    path = part(facts, root)
    try:
        resumed = path.exists()
        yield from _complete(facts, address, path)
        if not (yield from _is_official(facts, path)):
            path.unlink()
            if resumed:  # perhaps only the old part was bad
                yield from _complete(facts, address, path)
            if not resumed or not (yield from _is_official(facts, path)):
                raise Unavailable("what it sent does not have the official SHA-256")
        yield from read(facts, path, facts.binary)
    except Unavailable:
        if path.exists() and path.stat().st_size >= facts.archive_bytes:
            path.unlink()
        raise
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _complete(facts: Cifar, address: str, path: Path) -> Iterator[Event]:
    """Go on with `path` until it has all its bytes, over several connections if they break."""
    for attempt in range(TRIES):
        have = path.stat().st_size if path.exists() else 0
        if have == facts.archive_bytes:
            return
        try:
            yield from _receive(facts, address, path, have if have < facts.archive_bytes else 0)
        except (_Network, http.client.HTTPException) as error:
            if attempt == TRIES - 1 or (path.exists() and path.stat().st_size == have):
                raise Unavailable(str(error) or type(error).__name__) from error
    if path.stat().st_size != facts.archive_bytes:
        raise Unavailable("the connection broke several times")


class _Network(Exception):
    """The network's fault, told apart from the disk's: both speak OSError."""


def _receive(facts: Cifar, address: str, path: Path, have: int) -> Iterator[Event]:
    request = urllib.request.Request(address, headers={"User-Agent": "Secateur", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with _open(request, path) as response:
        if response.status == 200 and response.length not in (None, facts.archive_bytes):
            raise Unavailable(f"it offers {response.length:,} bytes instead of {facts.archive_bytes:,}")
        resumes = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        with path.open("ab" if resumes else "wb") as file:
            have = have if resumes else 0
            told, when = have, time.monotonic()
            yield Progress(f"Downloading {facts.name}", have, facts.archive_bytes, "bytes")
            while chunk := _next_chunk(response):
                file.write(chunk)
                have += len(chunk)
                if have > facts.archive_bytes:
                    raise Unavailable("it sent more than the official archive")
                if have - told >= STEP or time.monotonic() - when > 0.5:
                    told, when = have, time.monotonic()
                    yield Progress(f"Downloading {facts.name}", have, facts.archive_bytes, "bytes")


def _open(request: urllib.request.Request, path: Path) -> http.client.HTTPResponse:
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the part has more than there is: start anew next time
            path.unlink(missing_ok=True)
        raise Unavailable(f"it answered {error.code} {error.reason}") from error
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise Unavailable(f"it cannot be reached ({reason})") from error


def _next_chunk(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(STEP)
    except OSError as error:
        raise _Network(f"the connection broke ({error})") from error


def _is_official(facts: Cifar, path: Path) -> Iterator[Event]:
    """Whether `path` has the published SHA-256; yields while it reads."""
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(2**24):
            digest.update(chunk)
            done += len(chunk)
            yield Progress(f"Checking {facts.name}", done, facts.archive_bytes, "bytes")
    return digest.hexdigest() == facts.archive_sha256
