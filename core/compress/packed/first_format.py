"""Reads packed files of the first format, `secateur-packed-1`.

Its arrays are the tensors of the safetensors file, stored as they are, but for the deflated
manifest and tables. The numbers that are not entropy-coded lie in one array whatever their size,
and all symbols are coded by their frequencies. Card and checksum are in the metadata.
"""

import hashlib
import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from safetensors.numpy import load as read_safetensors
from torch import Tensor

from core.compress.packed.layout import ManifestEntry
from core.compress.packed.parts import MOST_INFLATED, OpenedFile
from core.compress.packed.reader import Reader
from core.models.card import ModelCard

FIRST_FORMAT = "secateur-packed-1"

_ARRAY_TYPES = {
    "manifest": np.uint8,
    "masks": np.uint32,
    "indices": np.uint32,
    "tables": np.uint8,
    "codebooks": np.float32,
    "zero_points": np.uint8,
    "rest": np.uint8,
}
_MANIFEST = TypeAdapter(list[ManifestEntry])


def open_first_format(data: bytes, metadata: dict[str, str]) -> OpenedFile:
    """Read the manifest of a file with these bytes. Raises ValueError if it is damaged."""
    arrays: dict[str, NDArray[Any]] = read_safetensors(data)
    types = {name: array.dtype for name, array in arrays.items()}
    if types != _ARRAY_TYPES or any(array.ndim != 1 for array in arrays.values()):
        raise ValueError("other tensors")
    checksum = metadata.pop("sha256")
    if checksum != _digest(arrays, metadata):
        raise ValueError("the checksum is wrong")
    part_bytes = {name: array.nbytes for name, array in arrays.items()}
    entries = _MANIFEST.validate_json(_inflated(arrays.pop("manifest")))
    return OpenedFile(_card(metadata), entries, part_bytes, lambda: _FirstReader(arrays))


class _FirstReader(Reader):
    """Reads the tensors of a file of the first format."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]):
        tables = np.frombuffer(_inflated(arrays["tables"]), np.uint8)
        super().__init__({**arrays, "tables": tables})

    def _take_numbers(self, count: int, dtype: torch.dtype) -> Tensor:
        taken = torch.from_numpy(self._take("rest", count * dtype.itemsize))
        numbers = torch.empty(count, dtype=dtype)
        numbers.view(torch.uint8).copy_(taken)
        return numbers


def _digest(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> str:
    """SHA-256 of the metadata, and of the names, shapes and bytes of the arrays."""
    digest = hashlib.sha256(json.dumps(dict(sorted(metadata.items()))).encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def _card(metadata: Mapping[str, str]) -> ModelCard:
    """The card, whose fields are texts of the metadata. The model is called "network" there."""
    other_names = {"format", "network"}
    fields = {name: json.loads(text) for name, text in metadata.items() if name not in other_names}
    return ModelCard.model_validate({"model": metadata["network"], **fields})


def _inflated(array: NDArray[np.uint8]) -> bytes:
    """Raises ValueError for an array that is cut, or that would become too long."""
    stream = zlib.decompressobj()
    data = stream.decompress(array.tobytes(), MOST_INFLATED)
    if not stream.eof or stream.unused_data:
        raise ValueError("a deflated array is cut or too long")
    return data
