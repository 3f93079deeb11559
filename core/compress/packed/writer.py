"""Writes the tensors of a state dict into the arrays and the manifest of a packed file.

For each kind of entry, the writer appends what `core.compress.packed.reader` reads, in the same
order. Symbols are coded in contexts or by their frequencies, whichever takes fewer bytes.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.compress.affine import Affine, QuantizedWeight
from core.compress.kmeans import Codebook, exact_codebook
from core.compress.packed.budget import UnitBudget
from core.compress.packed.contexts import ContextModel, Learned, Symbols, to_grid
from core.compress.packed.entropy import Encoder, count_codes, entropy, scaled_counts
from core.compress.packed.layers import IntegerSymbols, LayerInContexts
from core.compress.packed.layout import ARRAY_TYPES, DTYPES, STREAMS, DtypeName, ManifestEntry
from core.compress.packed.ledger import Tally
from core.compress.packed.levels import levels_in_units, mask_levels, unit_code
from core.compress.packed.planes import write_planes

_DTYPE_NAMES: dict[torch.dtype, DtypeName] = {dtype: name for name, dtype in DTYPES.items()}
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_OVERHEAD_BYTES = 16
"""About what another kind than "raw" adds to the manifest and to the tables of the file."""

_PRUNED_RATIO = 2
"""Integers get a mask if zeros are so many times as frequent as ones and minus ones together."""


def coded_bytes(item: QuantizedWeight) -> float:
    """About how many bytes a quantized weight takes in a packed file, without its name.

    It is coded as in the file, except that there it learns from the layers before it. That saves
    a few percent of a small layer.
    """
    writer = Writer(torch.float32)
    writer.add("", item)
    # In the file, the planes of all layers are deflated together.
    arrays = writer.plain_arrays().values()
    planes = sum(min(len(write_planes(array)), array.nbytes) for array in arrays)
    return writer.bits / 8 + planes


def stored_bytes(items: Iterable[Tensor | QuantizedWeight], rest: torch.dtype) -> float:
    """About how many bytes these tensors take together in a packed file, without their names.

    rest: the type in the file of float32 numbers that belong to no codebook.
    """
    writer = Writer(rest)
    for item in items:
        writer.add("", item)
    planes = sum(len(write_planes(array)) for array in writer.plain_arrays().values())
    return writer.bits / 8 + planes


class Writer:
    """Collects the arrays of a packed file, the manifest `entries`, and their `tally`.

    bits: about how many bits the symbols take in the streams, by their likelihoods.
    rest: the type in the file of float32 numbers that belong to no codebook.
    """

    def __init__(self, rest: torch.dtype):
        self.entries: list[ManifestEntry] = []
        self.tally = Tally()
        self._rest = rest
        self.bits = 0.0
        self._streams = {name: Encoder() for name in STREAMS}
        self._learned = {name: Learned() for name in STREAMS}
        self._budget = UnitBudget()
        self._pieces: dict[str, list[NDArray[Any]]] = {name: [] for name in ARRAY_TYPES}

    def add(self, name: str, item: Tensor | QuantizedWeight) -> None:
        """Append a tensor of the state dict.

        A plain tensor is stored in the smallest of the kinds that lose nothing.
        """
        self._budget.add_weights(_size(item))
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
        """The streams and all arrays of `ARRAY_TYPES`, each one-dimensional."""
        arrays: dict[str, NDArray[Any]] = {
            name: encoder.words() for name, encoder in self._streams.items()
        }
        return arrays | self.plain_arrays()

    def plain_arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays of `ARRAY_TYPES`, each one-dimensional."""
        return {
            name: np.concatenate([np.empty(0, ARRAY_TYPES[name]), *pieces])
            for name, pieces in self._pieces.items()
        }

    def _is_smaller_than_numbers(self, codebook: Codebook) -> bool:
        """Whether the codebook takes fewer bytes, with its table, than the numbers without it.

        Numbers are stored with their zeros, or with a mask, which a codebook has as well.
        """
        counts = codebook.counts().cpu().numpy()
        kept = int(counts.sum())
        size = codebook.indices.numel()
        mask_bytes = entropy([kept, size - kept]) / 8
        number_bytes = self._rest.itemsize
        bytes_of_codebook = mask_bytes + entropy(counts) / 8 + 5 * len(counts) + _OVERHEAD_BYTES
        bytes_with_mask = mask_bytes + number_bytes * kept + _OVERHEAD_BYTES
        return bytes_of_codebook < min(number_bytes * size, bytes_with_mask)

    def _add_codebook(self, name: str, codebook: Codebook) -> None:
        centroids = _numpy(codebook.centroids)
        indices = _numpy(codebook.indices)
        mask = None if codebook.mask is None else _numpy(codebook.mask)
        counts = []
        mask_in_contexts = False
        if mask is not None:
            mask_counts, mask_in_contexts = self._add_mask(mask)
            counts.append(mask_counts)
        unit = None
        if len(centroids) > 1:
            index_counts, unit = self._add_indices(indices, centroids, mask)
            counts.append(index_counts)
        self._pieces["codebooks"].append(centroids)
        self.entries.append(
            ManifestEntry(
                name=name,
                kind="codebook",
                shape=list(indices.shape),
                clusters=len(centroids),
                masked=mask is not None,
                mask_in_contexts=mask_in_contexts,
                unit=unit,
            )
        )
        self.tally.add(4 * indices.size, counts)

    def _add_indices(
        self, indices: Symbols, centroids: NDArray[np.float32], mask: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], int | None]:
        """Append the indices of a codebook. Returns their counts, and the unit of their levels."""
        symbols = (indices if mask is None else indices[mask]).ravel()
        counts = np.bincount(symbols, minlength=len(centroids))
        if self._budget.allows(indices.shape, len(symbols), len(centroids)):
            values = centroids.astype(np.float64)
            unit = unit_code(values, counts)
            model = ContextModel(
                indices.shape,
                levels_in_units(values, unit),
                self._learned["indices"],
                kept=None if mask is None else to_grid(mask),
            )
            layer = LayerInContexts(indices, model)
            if self._add_if_smaller("indices", layer, entropy(counts) + 8 * len(counts)):
                self._budget.spend(indices.shape, len(symbols), len(centroids))
                return counts, unit
        self._add_symbols("indices", symbols, counts)
        return counts, None

    def _add_affine(self, name: str, affine: Affine) -> None:
        self._pieces["codebooks"].append(_numpy(affine.scale).ravel())
        zero_point = _numpy(affine.zero_point).ravel().astype(np.int16)
        if not affine.symmetric:
            self._pieces["zero_points"].append(zero_point.astype(np.uint8))
        values = _numpy(affine.values).astype(np.int16)
        # From here on, integers count from the zero point of their channel.
        integers = values - zero_point.reshape(
            [-1] + [1] * (values.ndim - 1) if values.ndim else []
        )
        masked = _is_pruned(integers)
        mask = integers != 0 if masked else None
        _, mask_in_contexts = (None, False) if mask is None else self._add_mask(mask)
        entry = ManifestEntry(
            name=name,
            kind="affine",
            shape=list(values.shape),
            bits=affine.bits,
            axis=None if affine.axis is None else 0,
            symmetric=affine.symmetric,
            masked=masked,
            mask_in_contexts=mask_in_contexts,
        )
        kept_values = (values if mask is None else values[mask]).ravel()
        symbols = (kept_values - entry.lowest).astype(np.uint8)
        counts = np.bincount(symbols, minlength=entry.levels)
        unit = self._add_integers(entry, integers, mask, entropy(counts) + 8 * len(counts))
        if unit is None:
            self._add_symbols("indices", symbols, counts)
        self.entries.append(entry.model_copy(update={"unit": unit}))
        all_counts = np.bincount((values - entry.lowest).ravel(), minlength=entry.levels)
        self.tally.add(4 * values.size, [all_counts])

    def _add_integers(
        self,
        entry: ManifestEntry,
        integers: NDArray[np.int16],
        mask: NDArray[np.bool_] | None,
        other_bits: float,
    ) -> int | None:
        """Append integers, where the mask is True, in contexts, if they take fewer bits that way.

        other_bits: what they take otherwise. Returns the unit of their levels, or None if nothing
        was appended.
        """
        coding = IntegerSymbols(entry.bits, entry.symmetric)
        kept = integers.size if mask is None else int(mask.sum())
        if not self._budget.allows(integers.shape, kept, coding.alphabet):
            return None
        if integers.min() < -coding.half or integers.max() >= coding.half:
            return None
        high, low = coding.split(integers)
        places = np.ones(high.shape, np.bool_) if mask is None else mask
        middles = coding.values()
        unit = unit_code(middles, np.bincount(high[places], minlength=coding.alphabet))
        model = ContextModel(
            high.shape,
            levels_in_units(middles, unit),
            self._learned["indices"],
            kept=None if mask is None else to_grid(mask),
        )
        layer = LayerInContexts(high, model)
        if coding.low_bits:
            layer.add_low(high[places], low[places], coding.low_likelihoods(high[places]))
        if not self._add_if_smaller("indices", layer, other_bits):
            return None
        self._budget.spend(integers.shape, kept, coding.alphabet)
        return unit

    def _add_numbers(self, name: str, numbers: Tensor) -> None:
        stored = self._stored_dtype(numbers)
        mask = _numpy(_not_positive_zero(numbers))
        counts = _mask_counts(mask)
        bytes_of_zeros = int(counts[0]) * stored.itemsize
        is_sparse = bytes_of_zeros > entropy(counts) / 8 + _OVERHEAD_BYTES
        mask_in_contexts = False
        if is_sparse:
            _, mask_in_contexts = self._add_mask(mask)
            numbers = numbers[torch.from_numpy(mask)]
        self.entries.append(
            ManifestEntry(
                name=name,
                kind="sparse" if is_sparse else "raw",
                shape=list(mask.shape),
                dtype=_DTYPE_NAMES[numbers.dtype],
                stored=_DTYPE_NAMES[stored],
                kept=int(counts[1]) if is_sparse else 0,
                mask_in_contexts=mask_in_contexts,
            )
        )
        self.tally.add(mask.size * numbers.itemsize, [counts] if is_sparse else [])
        stored_numbers = torch.empty(numbers.numel(), dtype=stored).copy_(numbers.flatten())
        array = f"rest{stored.itemsize}"
        raw = stored_numbers.view(torch.uint8).numpy()
        self._pieces[array].append(raw.view(ARRAY_TYPES[array]))

    def _stored_dtype(self, numbers: Tensor) -> torch.dtype:
        """The type in the file: `rest` for float32 numbers, unless some would become infinite."""
        if numbers.dtype != torch.float32:
            return numbers.dtype
        overflows = numbers.to(self._rest).isfinite() != numbers.isfinite()
        return torch.float32 if overflows.any() else self._rest

    def _add_mask(self, mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], bool]:
        """Append a mask. Returns its counts, and whether it is coded in contexts."""
        symbols = mask.view(np.uint8)
        counts = _mask_counts(mask)
        if self._budget.allows(mask.shape, mask.size, 2):
            codes = count_codes(counts)
            dropped, kept = scaled_counts(codes).tolist()
            model = ContextModel(
                mask.shape,
                mask_levels(dropped, kept),
                self._learned["masks"],
                start=np.array([dropped, kept]),
            )
            if self._add_if_smaller("masks", LayerInContexts(symbols, model), entropy(counts)):
                self._budget.spend(mask.shape, mask.size, 2)
                self._pieces["tables"].append(codes)
                return counts, True
        self._add_symbols("masks", symbols.ravel(), counts)
        return counts, False

    def _add_if_smaller(self, stream: str, layer: LayerInContexts, other_bits: float) -> bool:
        """Append a layer in contexts to a stream, if that takes fewer than `other_bits`."""
        if layer.bits >= other_bits:
            return False
        layer.write(self._streams[stream])
        self.bits += layer.bits
        return True

    def _add_symbols(self, stream: str, symbols: Symbols, counts: NDArray[np.int64]) -> None:
        """Append symbols to a stream by their frequencies, and the table of these."""
        codes = count_codes(counts)
        self._pieces["tables"].append(codes)
        self._streams[stream].add(symbols, codes)
        self.bits += entropy(counts)


def _is_pruned(integers: NDArray[np.int16]) -> bool:
    """Whether 0 occurs much more often than 1 and -1, as it does after pruning."""
    zeros = int(np.count_nonzero(integers == 0))
    ones = int(np.count_nonzero(np.abs(integers) == 1))
    return zeros > _PRUNED_RATIO * max(ones, 1)


def _not_positive_zero(numbers: Tensor) -> Tensor:
    """A mask of all numbers but 0.0, by their bits.

    So a negative zero is kept, and a subnormal number also where a process flushes them to zero.
    """
    return numbers.view(_INTEGERS[numbers.itemsize]) != 0


def _mask_counts(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many False and True a mask has, (2,)."""
    kept = np.count_nonzero(mask)
    return np.array([mask.size - kept, kept])


def _size(item: Tensor | QuantizedWeight) -> int:
    if isinstance(item, Codebook):
        return item.indices.numel()
    return item.values.numel() if isinstance(item, Affine) else item.numel()


def _numpy(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().cpu().contiguous().numpy()
    return array
