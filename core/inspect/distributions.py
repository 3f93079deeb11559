"""How numbers are distributed, in a few marks with exact counts: their distinct values, or bins of equal width.

All of it comes from one sort, which takes numpy 0.3 seconds for the 23 million weights of a ResNet50. Nothing here
needs torch.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from core.compress.entropy import entropy
from core.errors import UserError

MARKS = 1000  # of one network in one picture
_MOST_VALUES = 256  # of a codebook in the packed file
_FLOAT_BITS = 32


@dataclass(frozen=True, eq=False)
class Marks:
    """How many numbers there are of each value, or in each bin.

    low, high: (n,) float64, ascending, and the same where a mark is one exact value. counts: (n,) int64, none is 0.
    A bin holds low <= number < high, and the highest one that there may be holds its upper edge, too.
    """

    low: np.ndarray
    high: np.ndarray
    counts: np.ndarray

    @property
    def exact(self) -> bool:
        """Whether the marks are values, not bins."""
        return bool((self.low == self.high).all())

    @property
    def middle(self) -> np.ndarray:
        """(n,) float64."""
        return self.low + (self.high - self.low) / 2

    @property
    def how(self) -> str:
        """In words how the numbers were counted."""
        return f"{len(self.low)} different" if self.exact else f"in bins of {self.high[0] - self.low[0]:.2g}"


@dataclass(frozen=True)
class Summary:
    """A distribution in a few figures.

    unique: distinct values, 0 among them if there is one. low, high: the least and the greatest number.
    bits: what one of the numbers takes at least, kept without loss in the packed file's ways: as a table of at most 256
        values and entropy-coded indices, or as floats; the mask of the zeros aside, which is entropy-coded, too.
    """

    numbers: int
    zeros: int
    unique: int
    low: float
    high: float
    bits: float


@dataclass(frozen=True, eq=False)
class Drawn:
    """A distribution ready to be drawn. The zeros are in the summary alone: pruned, they would dwarf all others.

    scatter: each value by itself, however rare; bins only if there are too many. histogram: bins, except for what was
    quantized, where values repeat: those are marks by themselves.
    """

    summary: Summary
    scatter: Marks
    histogram: Marks


@dataclass(frozen=True, eq=False)
class Ordered:
    """Numbers in ascending order, none of them NaN or infinite."""

    numbers: np.ndarray

    @cached_property
    def unique(self) -> int:
        """Distinct values."""
        return int(np.count_nonzero(self.numbers[1:] != self.numbers[:-1])) + 1 if self.numbers.size else 0

    @cached_property
    def nonzero(self) -> "Ordered":
        """All but the zeros."""
        start, end = (np.searchsorted(self.numbers, 0, side) for side in ("left", "right"))
        if start == end:
            return self
        rest = Ordered(np.concatenate([self.numbers[:start], self.numbers[end:]]))
        vars(rest)["unique"] = self.unique - 1
        return rest

    def distinct(self) -> tuple[np.ndarray, np.ndarray]:
        """Every value and how often it occurs."""
        first = np.ones(self.numbers.size, bool)
        np.not_equal(self.numbers[1:], self.numbers[:-1], out=first[1:])
        starts = np.flatnonzero(first)
        return self.numbers[starts], np.diff(np.append(starts, self.numbers.size))

    def below(self, edges: np.ndarray) -> np.ndarray:
        """How many numbers are below each edge, float64.

        float32 numbers are compared with the next float32 from the edge on, which tells the same and copies nothing.
        """
        if self.numbers.dtype == np.float32:
            near = edges.astype(np.float32)
            edges = np.where(near < edges, np.nextafter(near, np.float32(np.inf)), near)
        return np.searchsorted(self.numbers, edges)


def ordered(values: np.ndarray, name: str) -> Ordered:
    """The numbers of any shape. Raises UserError, by `name`, if there is none, and for NaN and infinity."""
    if not values.size:
        raise UserError(f"{name} has no values.")
    found = np.sort(values, axis=None)
    if np.isfinite(found[0]) and np.isfinite(found[-1]):  # a NaN is sorted to the end
        return Ordered(found)
    bad = found.size - np.count_nonzero(np.isfinite(found))
    raise UserError(f"{name} holds {bad:,} values that are NaN or infinite: its training diverged. Choose another "
                    "layer, or train the network again at a lower learning rate.")


def difference(first: np.ndarray, second: np.ndarray) -> Ordered:
    """second - first of two float32 arrays, rounded to float32, or to float64 where that would overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.sort(second - first, axis=None)
    if np.isfinite(found[0]) and np.isfinite(found[-1]):
        return Ordered(found)
    return Ordered(np.sort(second.astype(np.float64) - first, axis=None))


def summary(found: Ordered) -> Summary:
    """The figures of a distribution."""
    size, rest = found.numbers.size, found.nonzero
    kept = rest.numbers.size
    coded = float(_FLOAT_BITS * kept)
    if rest.unique <= _MOST_VALUES:
        counts = rest.distinct()[1]
        coded = min(coded, entropy(counts) + _FLOAT_BITS * len(counts))
    bits = min(float(_FLOAT_BITS), (entropy(np.array([size - kept, kept])) + coded) / size)
    return Summary(size, size - kept, found.unique, float(found.numbers[0]), float(found.numbers[-1]), bits)


def marks(found: Ordered, span: tuple[float, float], most: int = MARKS, bins: int | None = None) -> Marks:
    """Count by value, if there are at most `most` of them, else in `bins` equal parts of the span.

    span: the least and the greatest number, or any range around them. bins: `most`, if it is not given.
    """
    if found.unique <= most:
        values, counts = found.distinct()
        return Marks(values.astype(np.float64), values.astype(np.float64), counts)
    edges = np.linspace(*span, (bins or most) + 1, dtype=np.float64)
    counts = np.diff(found.below(edges))
    counts[-1] = found.numbers.size - counts[:-1].sum()
    used = np.flatnonzero(counts)
    return Marks(edges[used], edges[used + 1], counts[used])


def frequencies(values: np.ndarray, span: tuple[float, float], most: int = MARKS) -> tuple[np.ndarray, np.ndarray, str]:
    """Values, how many numbers have each, and in words how that was counted: exactly, or in `most` bins of the span."""
    counted = marks(Ordered(np.sort(values, axis=None)), span, most)
    return counted.middle, counted.counts, counted.how


def drawn(found: list[Ordered], most: int = MARKS, bins: int = 200) -> list[Drawn]:
    """Several distributions ready for one picture: their bins are the same."""
    rests = [each.nonzero for each in found]
    ends = [(rest.numbers[0], rest.numbers[-1]) for rest in rests if rest.numbers.size]
    span = (float(min(low for low, _ in ends)), float(max(high for _, high in ends))) if ends else (0.0, 0.0)
    return [Drawn(summary(each), marks(rest, span, most), marks(rest, span, min(most, _repeating(rest)), bins))
            for each, rest in zip(found, rests, strict=True)]


def _repeating(found: Ordered) -> int:
    """How many distinct values there may be at most, to say that they repeat; a single one counts."""
    return max(1, found.numbers.size // 2)
