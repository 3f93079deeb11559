"""Writes the tensors of a state dict into the arrays and the manifest of a packed file.

For each kind of entry, the writer appends what `core.compress.packed.reader` reads, in the same
order.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.compress.affine import Affine, QuantizedWeight
from core.compress.kmeans import Codebook, exact_codebook
from core.compress.packed.entropy import Message, count_codes, encode, entropy
from core.compress.packed.layout import ARRAY_TYPES, DTYPES, STREAMS, DtypeName, ManifestEntry
from core.compress.packed.ledger import Tally

_DTYPE_NAMES: dict[torch.dtype, DtypeName] = {dtype: name for name, dtype in DTYPES.items()}
_OVERHEAD_BYTES = 16
"""About what another kind than "raw" adds to the manifest and to the tables of the file."""


def coded_bytes(item: QuantizedWeight) -> float:
    """Bytes that a quantized weight takes in the packed file.

    These are the entropy of its mask and its indices, and its centroids or scales. The name of the
    weight and the table of its symbols take about a hundred bytes more.
    """
    if isinstance(item, Affine):
        symbols = _flat(item.values).view(np.uint8)
        bits = entropy(np.bincount(symbols, minlength=2))
        bytes_per_scale = 4 if item.symmetric else 5  # with the zero point
        return bits / 8 + bytes_per_scale * item.scale.numel()
    counts = item.counts().cpu().numpy()
    kept = counts.sum()
    pinned_zeros = item.indices.numel() - kept
    bits = entropy(counts) + entropy(np.array([pinned_zeros, kept]))
    return bits / 8 + 4 * len(counts)


class Writer:
    """Collects the arrays of a packed file, the manifest `entries`, and their `tally`.

    rest: the type in the file of float32 numbers that belong to no codebook.
    """

    def __init__(self, rest: torch.dtype):
        self.entries: list[ManifestEntry] = []
        self.tally = Tally()
        self._rest = rest
        self._messages: dict[str, list[Message]] = {name: [] for name in STREAMS}
        self._pieces: dict[str, list[NDArray[Any]]] = {
            name: [] for name in ARRAY_TYPES if name not in STREAMS
        }

    def add(self, name: str, item: Tensor | QuantizedWeight) -> None:
        """Append a tensor of the state dict.

        A plain tensor is stored in the smallest of the kinds that lose nothing.
        """
        if isinstance(item, Affine):
            self._add_affine(name, item)
            return
        if isinstance(item, Codebook):
            self._add_codebook(name, item)
            return
        codebook = exact_codebook(item)
        if codebook is not None and self._is_smaller_than_numbers(codebook):
            self._add_codebook(name, codebook)
        else:
            self._add_numbers(name, item.detach().cpu().contiguous())

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays of `ARRAY_TYPES`, each one-dimensional."""
        arrays: dict[str, NDArray[Any]] = {}
        for name, pieces in self._pieces.items():
            arrays[name] = np.concatenate([np.empty(0, ARRAY_TYPES[name]), *pieces])
        for name, messages in self._messages.items():
            arrays[name] = encode(messages)
        return arrays

    def _is_smaller_than_numbers(self, codebook: Codebook) -> bool:
        """Whether the codebook takes fewer bytes, with its table, than the plain numbers."""
        bytes_of_table = codebook.centroids.numel() + _OVERHEAD_BYTES
        bytes_of_numbers = codebook.indices.numel() * self._rest.itemsize
        return coded_bytes(codebook) + bytes_of_table < bytes_of_numbers

    def _add_codebook(self, name: str, codebook: Codebook) -> None:
        clusters = codebook.centroids.numel()
        entry = ManifestEntry(
            name=name,
            kind="codebook",
            shape=list(codebook.indices.shape),
            clusters=clusters,
            masked=codebook.mask is not None,
        )
        self.entries.append(entry)
        self._pieces["codebooks"].append(_flat(codebook.centroids))
        counts = []
        indices = codebook.indices
        if codebook.mask is not None:
            counts.append(self._add_mask(codebook.mask))
            indices = indices[codebook.mask]
        if clusters > 1:
            counts.append(self._add_message("indices", _flat(indices), clusters))
        self.tally.add(4 * codebook.indices.numel(), counts)

    def _add_affine(self, name: str, affine: Affine) -> None:
        entry = ManifestEntry(
            name=name,
            kind="affine",
            shape=list(affine.values.shape),
            bits=affine.bits,
            axis=None if affine.axis is None else 0,
            symmetric=affine.symmetric,
        )
        self.entries.append(entry)
        self._pieces["codebooks"].append(_flat(affine.scale))
        if not affine.symmetric:
            self._pieces["zero_points"].append(_flat(affine.zero_point).astype(np.uint8))
        symbols = _flat(affine.values).astype(np.int16) - entry.lowest
        counts = self._add_message("indices", symbols.astype(np.uint8), entry.levels)
        self.tally.add(4 * symbols.size, [counts])

    def _add_numbers(self, name: str, numbers: Tensor) -> None:
        stored = self._stored_dtype(numbers)
        kept = _not_positive_zero(numbers)
        counts = np.bincount(_flat(kept), minlength=2)
        bytes_of_zeros = counts[0] * stored.itemsize
        is_sparse = bytes_of_zeros > entropy(counts) / 8 + _OVERHEAD_BYTES
        entry = ManifestEntry(
            name=name,
            kind="sparse" if is_sparse else "raw",
            shape=list(numbers.shape),
            dtype=_DTYPE_NAMES[numbers.dtype],
            stored=_DTYPE_NAMES[stored],
        )
        self.entries.append(entry)
        self.tally.add(numbers.numel() * numbers.itemsize, [counts] if is_sparse else [])
        if is_sparse:
            self._add_mask(kept)
            numbers = numbers[kept]
        stored_numbers = torch.empty(numbers.numel(), dtype=stored).copy_(numbers.flatten())
        self._pieces["rest"].append(stored_numbers.view(torch.uint8).numpy())

    def _stored_dtype(self, numbers: Tensor) -> torch.dtype:
        """The type in the file: `rest` for float32 numbers, unless some would become infinite."""
        if numbers.dtype != torch.float32:
            return numbers.dtype
        overflows = numbers.to(self._rest).isfinite() != numbers.isfinite()
        return torch.float32 if overflows.any() else self._rest

    def _add_mask(self, mask: Tensor) -> NDArray[np.int64]:
        return self._add_message("masks", _flat(mask).view(np.uint8), 2)

    def _add_message(
        self, stream: str, symbols: NDArray[np.uint8], alphabet: int
    ) -> NDArray[np.int64]:
        """Append symbols below `alphabet` to a stream, and their table. Returns their counts."""
        counts = np.bincount(symbols, minlength=alphabet)
        codes = count_codes(counts)
        self._pieces["tables"].append(codes)
        self._messages[stream].append((symbols, codes))
        return counts


def _not_positive_zero(numbers: Tensor) -> Tensor:
    """A mask of all numbers but 0.0. A negative zero is kept, because its bits differ from 0.0."""
    if numbers.is_floating_point():
        return (numbers != 0) | numbers.signbit()
    return numbers != 0


def _flat(tensor: Tensor) -> NDArray[Any]:
    return tensor.detach().cpu().numpy().reshape(-1)
