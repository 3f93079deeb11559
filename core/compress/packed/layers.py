"""Writes and reads the symbols of one layer in their contexts, and says how many bits they take."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.compress.packed.context_counts import Counts
from core.compress.packed.contexts import ContextModel, Symbols, Unit, from_grid, to_grid
from core.compress.packed.entropy import Decoder, Encoder

_HIGH_BITS = 5
"""Integers of more bits are split. The counts of contexts would be too thin for more symbols."""


@dataclass(frozen=True)
class _CodedUnit:
    """Symbols (n,) with their contexts (n,) and the likelihoods of symbols in each context."""

    symbols: Symbols
    contexts: NDArray[np.uint8]
    likelihoods: NDArray[np.float32]

    def bits(self) -> float:
        """The bits that the symbols take by their likelihoods."""
        contexts, alphabet = self.likelihoods.shape
        cells = self.contexts.astype(np.int64) * alphabet + self.symbols
        counts = np.bincount(cells, minlength=contexts * alphabet).reshape(contexts, alphabet)
        probabilities = self.likelihoods / self.likelihoods.sum(1, keepdims=True)
        return float(-(counts * np.log2(probabilities)).sum())


class LayerInContexts:
    """The symbols of a layer, coded in contexts but not yet written.

    symbols: (O, I, ...), one for each weight, in the weight's shape. model: the model of the layer,
    which goes through it once. bits: about how many bits the symbols take.
    """

    def __init__(self, symbols: Symbols, model: ContextModel):
        self._model = model
        self._units: list[_CodedUnit] = []
        self._grid = to_grid(symbols)
        model.code(self._code_unit)
        self.bits = sum(unit.bits() for unit in self._units)

    def add_low(self, high: Symbols, low: Symbols, likelihoods: NDArray[np.float32]) -> None:
        """Add the low parts (n,) of integers, whose contexts are their high parts (n,)."""
        unit = _CodedUnit(low, high, likelihoods)
        self._units.append(unit)
        self.bits += unit.bits()

    def write(self, encoder: Encoder) -> None:
        """Append the symbols to a stream, and let the layers that follow learn from them."""
        for unit in self._units:
            encoder.add_in_contexts(unit.symbols, unit.contexts, unit.likelihoods)
        self._model.teach()

    def _code_unit(
        self, unit: Unit, contexts: NDArray[np.uint8], likelihoods: NDArray[np.float32]
    ) -> Symbols:
        symbols = unit.take(self._grid)
        self._units.append(_CodedUnit(symbols, contexts, likelihoods))
        return symbols


def read_in_contexts(decoder: Decoder, model: ContextModel, shape: Sequence[int]) -> Symbols:
    """Read the symbols of a layer of this shape, (O, I, ...); 0 where a weight has none."""
    grid = np.zeros(model.grid_shape, np.uint8)

    def read_unit(
        unit: Unit, contexts: NDArray[np.uint8], likelihoods: NDArray[np.float32]
    ) -> Symbols:
        symbols = decoder.read_in_contexts(contexts, likelihoods)
        unit.put(grid, symbols)
        return symbols

    model.code(read_unit)
    model.teach()
    return from_grid(grid, shape)


@dataclass(frozen=True)
class IntegerSymbols:
    """How the integers of an affine weight become symbols in contexts.

    They count from the zero point of their channel, because then all channels are alike. Their high
    bits, at most five, are coded in contexts, and the low ones by the high ones.
    """

    bits: int
    symmetric: bool

    @property
    def half(self) -> int:
        """Integers that count from the zero point are in [-half, half - 1]."""
        return 1 << (self.bits - 1 if self.symmetric else self.bits)

    @property
    def low_bits(self) -> int:
        """Number of low bits."""
        return max(0, self.bits - _HIGH_BITS)

    @property
    def alphabet(self) -> int:
        """Number of different high parts."""
        return 2 * self.half >> self.low_bits

    def values(self) -> NDArray[np.float64]:
        """The middle integer that each high part stands for, (alphabet,)."""
        first = np.arange(self.alphabet, dtype=np.float64) * (1 << self.low_bits) - self.half
        return first + ((1 << self.low_bits) - 1) / 2

    def split(self, integers: NDArray[np.int16]) -> tuple[Symbols, Symbols]:
        """The high and the low part of integers that count from the zero point."""
        raised = integers + self.half
        low = raised & ((1 << self.low_bits) - 1)
        return (raised >> self.low_bits).astype(np.uint8), low.astype(np.uint8)

    def join(self, high: Symbols, low: Symbols) -> NDArray[np.int16]:
        """Undo `split`."""
        return (high.astype(np.int16) << self.low_bits) + low - self.half

    def low_likelihoods(self, high: Symbols) -> NDArray[np.float32]:
        """How likely each low part is for each high part, (alphabet, 2^low_bits), whole numbers.

        high: all high parts of the layer, (n,). Their histogram, interpolated between the middles
        of its bins, is that of the integers.
        """
        histogram: Counts = np.bincount(high, minlength=self.alphabet)
        before = np.append(histogram[0], histogram[:-1])
        after = np.append(histogram[1:], histogram[-1])
        bins = 1 << self.low_bits
        # The distance of each integer from the middle of its bin, in halves of an integer.
        distances = 2 * np.arange(bins) + 1 - bins
        neighbours = np.where(distances < 0, before[:, None], after[:, None])
        away = np.abs(distances)
        interpolated = histogram[:, None] * (2 * bins - away) + neighbours * away + 1
        too_large = np.maximum(interpolated.sum(1, keepdims=True) >> 20, 1)
        likelihoods: NDArray[np.float32] = np.maximum(interpolated // too_large, 1).astype(
            np.float32
        )
        return likelihoods


def read_low(
    decoder: Decoder, high: Symbols, coding: IntegerSymbols, mask: NDArray[np.bool_] | None
) -> Symbols:
    """Read the low parts of integers whose high parts (O, I, ...) are known.

    mask: which of them are in the file, or None for all.
    """
    places = np.ones(high.shape, np.bool_) if mask is None else mask
    contexts = high[places]
    low = np.zeros_like(high)
    low[places] = decoder.read_in_contexts(contexts, coding.low_likelihoods(contexts))
    return low
