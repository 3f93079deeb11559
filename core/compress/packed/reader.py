"""Reads the tensors of a packed file back from its arrays and its manifest.

For each kind of entry, the reader reads what `core.compress.packed.writer` appends, in the same
order. The file may come from anybody, so everything is checked.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.compress.affine import Affine, QuantizedWeight
from core.compress.kmeans import Codebook
from core.compress.packed.budget import UnitBudget
from core.compress.packed.contexts import ContextModel, Learned, Symbols, to_grid
from core.compress.packed.entropy import Decoder, scaled_counts
from core.compress.packed.layers import IntegerSymbols, read_in_contexts, read_low
from core.compress.packed.layout import DTYPES, STREAMS, ManifestEntry
from core.compress.packed.ledger import Tally
from core.compress.packed.levels import levels_in_units, mask_levels


class Reader:
    """Reads tensors from the arrays of a packed file, in the order of the manifest.

    arrays: the streams and the arrays of `ARRAY_TYPES`. Raises ValueError where they do not hold
    what the manifest says. The caller of `read` must have limited the shapes. `tally` counts the
    tensors that have been read.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]]):
        self.tally = Tally()
        self._arrays = {name: array for name, array in arrays.items() if name not in STREAMS}
        self._positions = dict.fromkeys(self._arrays, 0)
        self._streams = {name: Decoder(arrays[name]) for name in STREAMS}
        self._learned = {name: Learned() for name in STREAMS}
        self._budget = UnitBudget()

    def read(self, entry: ManifestEntry) -> Tensor | QuantizedWeight:
        """Read the next tensor."""
        self._budget.add_weights(entry.size)
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
        mask = self._read_mask(entry) if entry.masked else None
        counts = [] if mask is None else [_counts(mask, 2)]
        kept = entry.size if mask is None else int(mask.sum())
        if kept and not entry.clusters:
            raise ValueError("weights without a codebook")
        indices = np.zeros(entry.shape, np.uint8)
        if entry.clusters > 1:
            indices, index_counts = self._read_indices(entry, centroids, mask, kept)
            counts.append(index_counts)
        self.tally.add(4 * entry.size, counts)
        return Codebook(
            torch.from_numpy(centroids),
            torch.from_numpy(indices),
            None if mask is None else torch.from_numpy(mask),
        )

    def _read_indices(
        self,
        entry: ManifestEntry,
        centroids: NDArray[np.float32],
        mask: NDArray[np.bool_] | None,
        kept: int,
    ) -> tuple[Symbols, NDArray[np.int64]]:
        """Read the indices of a codebook, and how often each occurs."""
        if entry.unit is None:
            symbols = self._read_symbols("indices", kept, entry.clusters)
            return _placed(symbols, entry.shape, mask), _counts(symbols, entry.clusters)
        self._spend_units(entry, kept, entry.clusters)
        model = ContextModel(
            entry.shape,
            levels_in_units(centroids.astype(np.float64), entry.unit),
            self._learned["indices"],
            kept=None if mask is None else to_grid(mask),
        )
        indices = read_in_contexts(self._streams["indices"], model, entry.shape)
        return indices, _counts(indices if mask is None else indices[mask], entry.clusters)

    def _read_affine(self, entry: ManifestEntry) -> Affine:
        if entry.axis == 0 and not entry.shape:
            raise ValueError("channels of a single number")
        scale = self._take("codebooks", int(np.prod(entry.scale_shape, dtype=np.int64)))
        if not (np.isfinite(scale) & (scale > 0)).all():
            raise ValueError("scales that are not positive numbers")
        zero_point = np.zeros(scale.shape, np.int32)
        if not entry.symmetric:
            zero_point[:] = self._take("zero_points", len(scale))
        per_channel = zero_point.astype(np.int16).reshape(-1, *[1] * (len(entry.shape) - 1))
        zeros = np.broadcast_to(per_channel if entry.shape else per_channel[0], entry.shape)
        mask = self._read_mask(entry) if entry.masked else None
        integers = self._read_integers(entry, zeros, mask)
        if mask is not None:
            integers = np.where(mask, integers, zeros)
        symbols = integers - np.int16(entry.lowest)
        if symbols.size and (symbols.min() < 0 or symbols.max() >= entry.levels):
            raise ValueError("values beyond their bits")
        values = integers.astype(np.int8 if entry.symmetric else np.uint8)
        self.tally.add(4 * entry.size, [_counts(symbols.astype(np.uint8), entry.levels)])
        return Affine(
            torch.from_numpy(values).view(entry.shape),
            torch.from_numpy(scale).view(entry.scale_shape),
            torch.from_numpy(zero_point).view(entry.scale_shape),
            entry.bits,
            entry.axis,
        )

    def _read_integers(
        self,
        entry: ManifestEntry,
        zeros: NDArray[np.int16],
        mask: NDArray[np.bool_] | None,
    ) -> NDArray[np.int16]:
        """Read affine values, which mean nothing where the mask is False. zeros: what stands for
        0.0 at each of them.
        """
        kept = entry.size if mask is None else int(mask.sum())
        if entry.unit is None:
            symbols = self._read_symbols("indices", kept, entry.levels)
            return _placed(symbols, entry.shape, mask) + np.int16(entry.lowest)
        coding = IntegerSymbols(entry.bits, entry.symmetric)
        self._spend_units(entry, kept, coding.alphabet)
        model = ContextModel(
            entry.shape,
            levels_in_units(coding.values(), entry.unit),
            self._learned["indices"],
            kept=None if mask is None else to_grid(mask),
        )
        stream = self._streams["indices"]
        high = read_in_contexts(stream, model, entry.shape)
        low = np.zeros_like(high)
        if coding.low_bits:
            low = read_low(stream, high, coding, mask)
        return coding.join(high, low) + zeros

    def _read_numbers(self, entry: ManifestEntry) -> Tensor:
        mask = self._read_mask(entry) if entry.has_mask else None
        kept = entry.size if mask is None else int(mask.sum())
        stored = DTYPES[entry.stored]
        numbers = self._take_numbers(kept, stored).to(DTYPES[entry.dtype])
        self.tally.add(entry.size * numbers.itemsize, [] if mask is None else [_counts(mask, 2)])
        if mask is None:
            return numbers.view(entry.shape)
        background = torch.zeros(entry.shape, dtype=numbers.dtype)
        return background.masked_scatter_(torch.from_numpy(mask), numbers)

    def _take_numbers(self, count: int, dtype: torch.dtype) -> Tensor:
        """The next `count` numbers that are not entropy-coded."""
        taken = torch.from_numpy(self._take(f"rest{dtype.itemsize}", count).view(np.uint8))
        numbers = torch.empty(count, dtype=dtype)
        numbers.view(torch.uint8).copy_(taken)
        return numbers

    def _take(self, name: str, count: int) -> NDArray[Any]:
        """Copy the next `count` numbers of an array."""
        start = self._positions[name]
        stop = start + count
        if stop > len(self._arrays[name]):
            raise ValueError(f"{name} holds less than the manifest names")
        self._positions[name] = stop
        return self._arrays[name][start:stop].copy()

    def _read_mask(self, entry: ManifestEntry) -> NDArray[np.bool_]:
        """Read the mask of a tensor, in the tensor's shape."""
        if not entry.mask_in_contexts:
            symbols = self._read_symbols("masks", entry.size, 2)
            return symbols.view(np.bool_).reshape(entry.shape)
        self._spend_units(entry, entry.size, 2)
        dropped, kept = scaled_counts(self._take("tables", 2)).tolist()
        model = ContextModel(
            entry.shape,
            mask_levels(dropped, kept),
            self._learned["masks"],
            start=np.array([dropped, kept]),
        )
        return read_in_contexts(self._streams["masks"], model, entry.shape).view(np.bool_)

    def _read_symbols(self, stream: str, count: int, alphabet: int) -> Symbols:
        """Read the next symbols of a stream by their frequencies."""
        codes = self._take("tables", alphabet)
        return self._streams[stream].read(codes, count)

    def _spend_units(self, entry: ManifestEntry, symbols: int, alphabet: int) -> None:
        """Raises ValueError for a tensor that the writer would not code in contexts.

        Contexts for each few weights would keep the reader busy for long.
        """
        if not self._budget.allows(entry.shape, symbols, alphabet):
            raise ValueError("contexts for too few weights")
        self._budget.spend(entry.shape, symbols, alphabet)


def _placed(symbols: Symbols, shape: list[int], mask: NDArray[np.bool_] | None) -> Symbols:
    """Put the symbols (n,) where the mask is True, or everywhere without a mask."""
    if mask is None:
        return symbols.reshape(shape)
    placed = np.zeros(shape, np.uint8)
    placed[mask] = symbols
    return placed


def _counts(symbols: NDArray[Any], alphabet: int) -> NDArray[np.int64]:
    return np.bincount(symbols.ravel().view(np.uint8), minlength=alphabet)
