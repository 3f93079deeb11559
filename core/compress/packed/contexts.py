"""The contexts of a layer's symbols, which tell which symbols are likely.

A symbol is an index, a bit of a mask, or a part of an integer value. The weights of a trained layer
are not alike: whole channels are small, and a kernel's neighbouring weights have similar values. So
each weight gets a context from the weights that are already coded:

- its scale class tells how large they are in its output channel, in its input channel, and next to
  it in the kernel, compared with the mean of the layer;
- its prediction class tells what value its neighbours in the kernel predict. In a mask it tells
  how many neighbours are kept.

This is the idea of context models for images, as in Weinberger et al., "The LOCO-I Lossless Image
Compression Algorithm" (HP Laboratories, HPL-98-193). On trained networks it saves 6 to 13% of the
bytes that one table of frequencies per layer takes.

A layer is coded in units: one position of the kernel, in a part of the output channels, and where
there is only one position, in a part of the input channels. Contexts
and probabilities of a unit depend on the units before it only, so the weights of a unit are coded
at once.

Writer and reader must find the same contexts on every machine. So everything here is integer
arithmetic. Where floats occur, in `levels` and `prediction`, they are single operations of IEEE 754
in a fixed order, or sums of integers below 2^53, which are exact in any order. Functions that
libraries round differently, such as exp and log, do not occur.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.compress.packed.context_counts import PREDICTIONS, ContextCounts, Counts
from core.compress.packed.levels import Levels
from core.compress.packed.prediction import Moments, Predictor, earlier_neighbours

Symbols = NDArray[np.uint8]

_SCALE_BOUNDS = (-12, -8, -5, -3, -1, 1, 3, 5, 8)
"""Bounds of the scale classes, in eighths of an octave above the layer's mean."""

_PREDICTION_BOUNDS = (-96, -58, -32, -13, 13, 32, 58, 96)
"""Bounds of the prediction classes. Predictions are measured in the scale that their class has."""

_NO_PREDICTION = PREDICTIONS // 2
_NO_NEIGHBOURS = PREDICTIONS - 1

_MASK_BOUNDS = (-24, -16, -11, -7, -3, 0, 4, 9, 15)
"""Bounds of the scale classes of masks. The densities of their channels differ more than scales."""

_INVERSE_SCALES = np.array([1707, 1218, 899, 724, 609, 512, 431, 362, 292, 197], np.int32)
"""512 / 2^(m / 8) for the middle m of each scale class, by which a prediction is divided by it."""

_MEAN_UNIT = 16
"""Mean levels are in sixteenths."""
_FIRST_MEAN = 48
_FIRST_MEAN_WEIGHT = 64
"""The mean level is at first that of a normal distribution, with the weight of 64 symbols."""
_LEAST_CHANNEL_WEIGHT = 4
_CHANNEL_WEIGHT = (_MEAN_UNIT * 64) ** 2 // 2
"""The mean of a channel is drawn to that of the layer, as strongly as 4 of its weights would. In
masks that keep little, a channel's mean tells less, and half a kept weight counts.
"""

_MOST_CHUNKS = 8
_MOST_CHUNKS_IF_LARGE = 4
_LARGE = 1 << 18
"""The channels of a layer are divided into at most so many parts, which are coded one by one. In
layers of more symbols, more parts would save less than a thousandth and take time."""
_LEAST_SYMBOLS = 64
_LEAST_SYMBOLS_PER_LETTER = 4
"""A unit has about this many symbols at least, and this many for each letter of the alphabet.

Every unit costs the time of a table of all contexts, and a hostile file may claim many units.
"""


def _eighths_of_octaves() -> NDArray[np.int16]:
    """floor(8 log2(n)) for n in [1, 65535], and -8 for 0; in Python's integers of any length."""
    eighths = [-8, *((number**8).bit_length() - 1 for number in range(1, 1 << 16))]
    return np.array(eighths, np.int16)


_EIGHTHS = _eighths_of_octaves()


class _Classifier:
    """Sorts integers (...) into the classes between bounds. The first class is number 0."""

    def __init__(self, bounds: Sequence[int], step: int = 1):
        self._limit = max(map(abs, bounds)) + 1
        numbers = np.arange(-self._limit, self._limit + 1)
        self._classes = (step * np.searchsorted(bounds, numbers, side="right")).astype(np.uint8)

    def __call__(self, numbers: NDArray[np.integer]) -> NDArray[np.uint8]:
        clipped: NDArray[np.uint8] = self._classes.take(numbers + self._limit, mode="clip")
        return clipped


_scale_class = _Classifier(_SCALE_BOUNDS, step=PREDICTIONS)
_mask_class = _Classifier(_MASK_BOUNDS, step=PREDICTIONS)
_prediction_class = _Classifier(_PREDICTION_BOUNDS)
_INVERSES = np.repeat(_INVERSE_SCALES, PREDICTIONS)
"""The same by scale class times PREDICTIONS."""


@dataclass
class Learned:
    """What the layers of a stream teach the layers after them.

    counts: the symbols of each context, by the size of the alphabet. moments: sums of products of
    levels, by the kernel's size, its width and the position in it.
    """

    counts: dict[int, Counts] = field(default_factory=dict)
    moments: dict[tuple[int, int, int], Moments] = field(default_factory=dict)


@dataclass(frozen=True)
class Unit:
    """Weights that are coded at once.

    position: of the kernel. rows, columns: the output and the input channel of each weight, which
    broadcast to `shape`. index: the same as an index of (O, I), by slices where all weights are
    coded, because these are faster.
    """

    position: int
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    index: tuple[Any, ...]
    shape: tuple[int, ...]

    def take(self, grid: NDArray[Any]) -> NDArray[Any]:
        """The unit's values (n,) of a grid, as `to_grid` lays it out."""
        values: NDArray[Any] = grid[self.position][self.index].ravel()
        return values

    def put(self, grid: NDArray[Any], values: NDArray[Any]) -> None:
        """Put the unit's values (n,) into a grid."""
        grid[self.position][self.index] = values.reshape(self.shape)


def grid_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """Output channels, input channels and positions of the kernel of a weight of this shape."""
    outputs, inputs = [*shape, 1, 1][:2]
    return outputs, inputs, math.prod(shape[2:])


def has_contexts(shape: Sequence[int], size: int, alphabet: int) -> bool:
    """Whether a weight is large enough to be coded in contexts.

    size: number of its symbols. alphabet: how many different ones there may be.
    """
    _, _, positions = grid_shape(shape)
    return size > 0 and size >= positions * _least_unit(alphabet)


def unit_count(shape: Sequence[int], size: int, alphabet: int) -> int:
    """In how many units such a weight is coded at most; see `has_contexts`."""
    output_chunks, input_chunks = _chunk_counts(shape, size, alphabet)
    return output_chunks * input_chunks * math.prod(shape[2:])


def _chunk_counts(shape: Sequence[int], size: int, alphabet: int) -> tuple[int, int]:
    """Into how many parts the output channels and the input channels are divided."""
    outputs, inputs, positions = grid_shape(shape)
    most_chunks = max(1, size // _least_unit(alphabet) // positions)
    most = _MOST_CHUNKS if size < _LARGE else _MOST_CHUNKS_IF_LARGE
    output_chunks = min(most, outputs, most_chunks)
    if positions > 1:
        return output_chunks, 1
    return output_chunks, min(most, inputs, most_chunks // output_chunks)


def _least_unit(alphabet: int) -> int:
    return max(_LEAST_SYMBOLS, _LEAST_SYMBOLS_PER_LETTER * alphabet)


def _chunks(length: int, count: int) -> Iterator[slice]:
    """Divide a range into `count` parts of about the same length."""
    bounds = [length * i // count for i in range(count + 1)]
    for start, stop in itertools.pairwise(bounds):
        yield slice(start, stop)


def to_grid(values: NDArray[Any]) -> NDArray[Any]:
    """Lay out the values of a weight as (positions, output channels, input channels)."""
    by_position = values.reshape(grid_shape(values.shape)).transpose(2, 0, 1)
    return np.ascontiguousarray(by_position)


def from_grid(grid: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    """Undo `to_grid`."""
    return np.ascontiguousarray(grid.transpose(1, 2, 0)).reshape(shape)


class ContextModel:
    """Tells the context of each symbol of a layer, and the probabilities in each context.

    shape: of the weight. The first dimension is that of the output channels, the second of the
    input channels, the others of the kernel.
    levels: (K,), how large the weight is that each symbol stands for. learned: what earlier layers
    teach. start: (K,), about how frequent each symbol will be, or None. kept: as `to_grid` lays it
    out, which weights have a symbol, or None if all have.
    """

    def __init__(
        self,
        shape: Sequence[int],
        levels: Levels,
        learned: Learned,
        start: Counts | None = None,
        kept: NDArray[np.bool_] | None = None,
    ):
        self._outputs, self._inputs, self._positions = grid_shape(shape)
        self._width = shape[-1] if len(shape) > 2 else 1
        self._levels = levels
        self._learned = learned
        self._kept = kept
        self._counts = ContextCounts(len(levels), learned.counts.get(len(levels)), start)
        self._is_mask = bool(levels[0] == 0 and len(levels) == 2)
        self._predictors: dict[int, Predictor] = {}
        self._grid = np.zeros((self._positions, self._outputs, self._inputs), np.int16)
        self._output_sums = np.zeros(self._outputs, np.int64)
        self._output_sizes = np.zeros(self._outputs, np.int64)
        self._input_sums = np.zeros(self._inputs, np.int64)
        self._input_sizes = np.zeros(self._inputs, np.int64)

    @property
    def grid_shape(self) -> tuple[int, int, int]:
        """Positions of the kernel, output channels and input channels."""
        return self._positions, self._outputs, self._inputs

    def code(
        self, code_unit: Callable[[Unit, NDArray[np.uint8], NDArray[np.float32]], Symbols]
    ) -> None:
        """Go through the layer, and let `code_unit` write or read the symbols of each unit.

        It gets the unit, the context of each of its n symbols (n,), and how likely each symbol is
        in each context, as whole numbers (CONTEXTS, K) in proportion to the probabilities. It
        returns the symbols (n,).
        """
        for unit in self._units():
            neighbours = self._neighbours(unit)
            contexts = self._contexts(unit, neighbours)
            symbols = code_unit(unit, contexts, self._counts.weights())
            self._counts.learn(contexts, symbols)
            self._learn(unit, neighbours, self._levels[symbols])

    def teach(self) -> None:
        """Add what this layer teaches to `learned`."""
        self._learned.counts[len(self._levels)] = self._counts.total()
        for position, predictor in self._predictors.items():
            self._learned.moments[self._positions, self._width, position] = predictor.moments

    def _units(self) -> Iterator[Unit]:
        """The units in their order, without empty ones."""
        size = self._grid.size if self._kept is None else int(self._kept.sum())
        shape = (self._outputs, self._inputs, self._positions)
        output_chunks, input_chunks = _chunk_counts(shape, size, len(self._levels))
        for outputs in _chunks(self._outputs, output_chunks):
            for inputs in _chunks(self._inputs, input_chunks):
                for position in range(self._positions):
                    unit = self._unit(position, outputs, inputs)
                    if math.prod(unit.shape):
                        yield unit

    def _unit(self, position: int, outputs: slice, inputs: slice) -> Unit:
        if self._kept is None:
            rows, columns = np.ogrid[outputs, inputs]
            shape = (len(rows), columns.size)
            return Unit(position, rows, columns, (outputs, inputs), shape)
        rows, columns = np.nonzero(self._kept[position, outputs, inputs])
        rows += outputs.start
        columns += inputs.start
        return Unit(position, rows, columns, (rows, columns), rows.shape)

    def _neighbours(self, unit: Unit) -> NDArray[np.int16] | None:
        """The levels of the neighbours that are already coded, (k, ...), or None without any."""
        positions = earlier_neighbours(unit.position, self._width)
        if not positions:
            return None
        levels: NDArray[np.int16]
        if self._kept is None:
            levels = self._grid[(positions, *unit.index)]
        else:
            levels = self._grid[(np.array(positions)[:, None], *unit.index)]
        return levels

    def _contexts(self, unit: Unit, neighbours: NDArray[np.int16] | None) -> NDArray[np.uint8]:
        """The context of each weight of the unit, (n,)."""
        mean = self._mean()
        of_outputs, of_inputs = self._channel_scales(unit, mean)
        scales = of_outputs[unit.rows] + of_inputs[unit.columns]
        if self._is_mask:
            return (_mask_class(scales) + _kept_neighbours(neighbours)).ravel()
        if neighbours is None:
            return (_scale_class(scales) + np.uint8(_NO_PREDICTION)).ravel()
        scales += _neighbour_scales(neighbours, mean)
        contexts = _scale_class(scales)
        predicted = self._predictor(unit.position, len(neighbours)).predict(neighbours)
        predicted *= _INVERSES[contexts]
        predicted >>= 8
        contexts += _prediction_class(predicted)
        return contexts.ravel()

    def _mean(self) -> int:
        """The mean level so far, without its sign, in sixteenths; at least 1."""
        total = int(self._output_sums.sum()) + _FIRST_MEAN * _FIRST_MEAN_WEIGHT
        size = int(self._output_sizes.sum()) + _FIRST_MEAN_WEIGHT
        return max(1, _MEAN_UNIT * total // size)

    def _channel_scales(self, unit: Unit, mean: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """The scale of each output and input channel above the mean, in eighths of an octave."""
        weight = max(_LEAST_CHANNEL_WEIGHT, _CHANNEL_WEIGHT // (mean * mean))
        of_outputs = (_MEAN_UNIT * self._output_sums + weight * mean) // (
            self._output_sizes + weight
        )
        of_inputs = (_MEAN_UNIT * self._input_sums + weight * mean) // (self._input_sizes + weight)
        return _eighths_above(of_outputs, mean), _eighths_above(of_inputs, mean)

    def _predictor(self, position: int, neighbours: int) -> Predictor:
        if position not in self._predictors:
            moments = self._learned.moments.get((self._positions, self._width, position))
            self._predictors[position] = Predictor(neighbours, moments)
        return self._predictors[position]

    def _learn(self, unit: Unit, neighbours: NDArray[np.int16] | None, levels: Levels) -> None:
        unit.put(self._grid, levels)
        shaped = levels.reshape(unit.shape)
        if neighbours is not None and not self._is_mask:
            self._predictor(unit.position, len(neighbours)).learn(neighbours, shaped)
        sizes = np.abs(shaped)
        if self._kept is None:
            outputs, inputs = unit.index
            self._output_sums[outputs] += sizes.sum(1, dtype=np.int64)
            self._output_sizes[outputs] += sizes.shape[1]
            self._input_sums[inputs] += sizes.sum(0, dtype=np.int64)
            self._input_sizes[inputs] += sizes.shape[0]
            return
        # Sums in float64 of integers below 2^53 are exact.
        self._output_sums += np.bincount(unit.rows, sizes, self._outputs).astype(np.int64)
        self._output_sizes += np.bincount(unit.rows, minlength=self._outputs)
        self._input_sums += np.bincount(unit.columns, sizes, self._inputs).astype(np.int64)
        self._input_sizes += np.bincount(unit.columns, minlength=self._inputs)


def _eighths_above(numbers: NDArray[np.int64], mean: int) -> NDArray[np.int16]:
    """The ratio of each number to the mean, in eighths of an octave."""
    clipped: NDArray[np.int16] = _EIGHTHS.take(numbers, mode="clip")
    return clipped - _EIGHTHS.take(mean, mode="clip")


def _kept_neighbours(neighbours: NDArray[np.int16] | None) -> NDArray[np.uint8] | np.uint8:
    """How many neighbours (k, ...) a mask keeps, (...); another number if there are none."""
    if neighbours is None:
        return np.uint8(_NO_NEIGHBOURS)
    kept: NDArray[np.uint8] = (neighbours > 0).sum(0, dtype=np.uint8)
    return kept


def _neighbour_scales(neighbours: NDArray[np.int16], mean: int) -> NDArray[np.int16]:
    """The scale of the neighbours (k, ...) above the mean, in sixteenths of an octave, (...)."""
    sums = np.abs(neighbours).sum(0, dtype=np.int16)
    # A table of all sums that occur is faster than the arithmetic on each weight.
    possible = np.arange(int(sums.max()) + 1)
    drawn_to_mean = (_MEAN_UNIT * possible // len(neighbours) + mean) // 2
    of_sums = _eighths_above(drawn_to_mean, mean) >> 1
    scales: NDArray[np.int16] = of_sums[sums]
    return scales
