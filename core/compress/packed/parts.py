"""The parts of a packed file's container, from the arrays and the manifest, and back.

The manifest is deflated JSON: the card, and the tensors in their order. The streams are
entropy-coded words, as they are. The other arrays are byte planes.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from core.compress.packed.dictionary import MANIFEST_DICTIONARY
from core.compress.packed.layout import ARRAY_TYPES, STREAMS, ManifestEntry, array_lengths
from core.compress.packed.planes import deflate_text, inflate, read_planes, write_planes
from core.compress.packed.reader import Reader
from core.models.card import ModelCard

MOST_INFLATED = 1 << 24
"""The most bytes that a manifest is inflated to."""

_WORD = np.dtype("<u4")
_PLANES = {
    "tables": ["tables"],
    "codebooks": ["codebooks", "zero_points"],
    "rest": ["rest1", "rest2", "rest4", "rest8"],
}
"""The parts that hold byte planes, and the arrays whose planes they are."""


class _Manifest(BaseModel):
    """The content of the manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    card: ModelCard
    tensors: list[ManifestEntry]


class OpenedFile(NamedTuple):
    """A packed file of which only the manifest is read.

    card, entries: its content. part_bytes: the length of each part. reader: makes the reader of the
    tensors, after the caller has checked that their shapes are plausible.
    """

    card: ModelCard
    entries: list[ManifestEntry]
    part_bytes: dict[str, int]
    reader: Callable[[], Reader]


def write_parts(
    arrays: Mapping[str, NDArray[Any]], card: ModelCard, entries: list[ManifestEntry]
) -> dict[str, bytes]:
    """The parts of the container. arrays: as `core.compress.packed.writer` makes them."""
    parts = {"manifest": deflate_text(_manifest_json(card, entries), MANIFEST_DICTIONARY)}
    for stream in STREAMS:
        parts[stream] = arrays[stream].astype(_WORD).tobytes()
    for part, names in _PLANES.items():
        parts[part] = b"".join(write_planes(arrays[name]) for name in names)
    return parts


def open_parts(parts: Mapping[str, bytes]) -> OpenedFile:
    """Read the manifest. Raises ValueError for parts that `write_parts` did not make."""
    text, left = inflate(parts["manifest"], MOST_INFLATED, MANIFEST_DICTIONARY)
    if left:
        raise ValueError("bytes are left after the manifest")
    manifest = _Manifest.model_validate_json(text)
    part_bytes = {name: len(part) for name, part in parts.items()}
    return OpenedFile(
        manifest.card,
        manifest.tensors,
        part_bytes,
        lambda: Reader(_arrays(parts, manifest.tensors)),
    )


def _arrays(parts: Mapping[str, bytes], entries: list[ManifestEntry]) -> dict[str, NDArray[Any]]:
    """All arrays. Raises ValueError if their lengths are not those that the manifest tells."""
    lengths = array_lengths(entries)
    arrays: dict[str, NDArray[Any]] = {
        stream: np.frombuffer(parts[stream], _WORD) for stream in STREAMS
    }
    for part, names in _PLANES.items():
        planes = parts[part]
        for name in names:
            arrays[name], planes = read_planes(planes, ARRAY_TYPES[name], lengths[name])
        if planes:
            raise ValueError(f"{part} holds more than the manifest names")
    return arrays


def _manifest_json(card: ModelCard, entries: list[ManifestEntry]) -> bytes:
    """The manifest. It leaves out the data set of the card, which the recipes name."""
    manifest = {
        "card": card.model_dump(mode="json", exclude={"dataset"}),
        "tensors": [entry.model_dump(exclude_defaults=True) for entry in entries],
    }
    return json.dumps(manifest, separators=(",", ":")).encode()
