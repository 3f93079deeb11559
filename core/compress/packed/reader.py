"""Reads the tensors of a packed file back from its arrays and its manifest.

For each kind of entry, the reader reads what `core.compress.packed.writer` appends, in the same
order. The file may come from anybody, so everything is checked.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.compress.affine import Affine, QuantizedWeight
from core.compress.kmeans import Codebook
from core.compress.packed.entropy import Decoder
from core.compress.packed.layout import ARRAY_TYPES, DTYPES, STREAMS, ManifestEntry
from core.compress.packed.ledger import Tally


class Reader:
    """Reads tensors from the arrays of a packed file, in the order of the manifest.

    Raises ValueError where the arrays do not hold what the manifest says. The caller of `read` must
    have limited the shapes. `tally` counts the tensors that have been read.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]]):
        self.tally = Tally()
        self._arrays = {name: arrays[name] for name in ARRAY_TYPES if name not in STREAMS}
        self._positions = dict.fromkeys(self._arrays, 0)
        self._streams = {name: Decoder(arrays[name]) for name in STREAMS}

    def read(self, entry: ManifestEntry) -> Tensor | QuantizedWeight:
        """Read the next tensor."""
        if entry.kind == "codebook":
            return self._read_codebook(entry)
        if entry.kind == "affine":
            return self._read_affine(entry)
        return self._read_numbers(entry)

    def finish(self) -> None:
        """Check that nothing is left over. Raises ValueError if there is."""
        for stream in self._streams.values():
            stream.finish()
        for name, array in self._arrays.items():
            if self._positions[name] != len(array):
                raise ValueError(f"{name} holds more than the manifest names")

    def _read_codebook(self, entry: ManifestEntry) -> Codebook:
        centroids = self._take("codebooks", entry.clusters)
        if not np.isfinite(centroids).all() or (np.diff(centroids) < 0).any():
            raise ValueError("centroids that are not sorted numbers")
        size = math.prod(entry.shape)
        kept = size
        mask = None
        counts = []
        if entry.masked:
            mask, mask_counts = self._read_mask(entry.shape)
            kept = int(mask_counts[1])
            counts.append(mask_counts)
        if kept and not entry.clusters:
            raise ValueError("weights without a codebook")
        indices = torch.zeros(entry.shape, dtype=torch.uint8)
        if entry.clusters > 1:
            symbols, index_counts = self._read_message("indices", kept, entry.clusters)
            counts.append(index_counts)
            indices = _placed(torch.from_numpy(symbols), indices, mask)
        self.tally.add(4 * size, counts)
        return Codebook(torch.from_numpy(centroids), indices, mask)

    def _read_affine(self, entry: ManifestEntry) -> Affine:
        if entry.axis == 0 and not entry.shape:
            raise ValueError("channels of a single number")
        scale_shape = entry.shape[:1] if entry.axis == 0 else []
        scale = self._take("codebooks", math.prod(scale_shape))
        if not (np.isfinite(scale) & (scale > 0)).all():
            raise ValueError("scales that are not positive numbers")
        zero_point = np.zeros(scale.shape, np.int32)
        if not entry.symmetric:
            zero_point[:] = self._take("zero_points", len(scale))
        size = math.prod(entry.shape)
        symbols, counts = self._read_message("indices", size, entry.levels)
        dtype = np.int8 if entry.symmetric else np.uint8
        values = (symbols.astype(np.int16) + entry.lowest).astype(dtype)
        self.tally.add(4 * size, [counts])
        return Affine(
            torch.from_numpy(values).view(entry.shape),
            torch.from_numpy(scale).view(scale_shape),
            torch.from_numpy(zero_point).view(scale_shape),
            entry.bits,
            entry.axis,
        )

    def _read_numbers(self, entry: ManifestEntry) -> Tensor:
        dtype = DTYPES[entry.dtype]
        size = math.prod(entry.shape)
        kept = size
        mask = None
        counts = []
        if entry.kind == "sparse":
            mask, mask_counts = self._read_mask(entry.shape)
            kept = int(mask_counts[1])
            counts.append(mask_counts)
        stored = DTYPES[entry.stored]
        stored_bytes = torch.from_numpy(self._take("rest", kept * stored.itemsize))
        stored_numbers = torch.empty(kept, dtype=stored)
        stored_numbers.view(torch.uint8).copy_(stored_bytes)
        numbers = stored_numbers.to(dtype)
        self.tally.add(size * dtype.itemsize, counts)
        if mask is None:
            return numbers.view(entry.shape)
        return _placed(numbers, torch.zeros(entry.shape, dtype=dtype), mask)

    def _take(self, name: str, count: int) -> NDArray[Any]:
        """Copy the next `count` numbers of an array."""
        start = self._positions[name]
        stop = start + count
        if stop > len(self._arrays[name]):
            raise ValueError(f"{name} holds less than the manifest names")
        self._positions[name] = stop
        return self._arrays[name][start:stop].copy()

    def _read_mask(self, shape: list[int]) -> tuple[Tensor, NDArray[np.int64]]:
        """Read a bool mask of this shape, and how many False and True it has."""
        symbols, counts = self._read_message("masks", math.prod(shape), 2)
        return torch.from_numpy(symbols.view(np.bool_)).view(shape), counts

    def _read_message(
        self, stream: str, count: int, alphabet: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Read the next symbols of a stream, and how often each occurs."""
        codes = self._take("tables", alphabet)
        symbols = self._streams[stream].read(codes, count)
        return symbols, np.bincount(symbols, minlength=alphabet)


def _placed(items: Tensor, background: Tensor, mask: Tensor | None) -> Tensor:
    """Put the items (n,) where the mask is True, or everywhere without a mask."""
    if mask is None:
        return items.view(background.shape)
    return background.masked_scatter_(mask, items)
