"""Counts the symbols of each context of a layer, and turns the counts into probabilities.

A context has few symbols at first, so its counts are added to a prior: what its scale class and its
prediction class say, each on its own, and what the same context had in earlier layers (a Dirichlet
prior). All of it is integer arithmetic, so every machine finds the same probabilities.
"""

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]

SCALES = 10
PREDICTIONS = 9
CONTEXTS = SCALES * PREDICTIONS
"""A context is its scale class times PREDICTIONS, plus its prediction class."""

_ONE = 1 << 14
"""The probabilities of a prior add up to about this."""
_PRIOR_WEIGHT = 64
"""A prior counts as much as so many symbols of the context."""
_HISTOGRAM_WEIGHT = 20
"""The layer's histogram counts as much as so many symbols of a class."""
_EARLIER_WEIGHT = 100
"""The histogram of earlier layers counts as much as so many of their symbols in a context."""
_EARLIER_SCALE = 1 << 10
_START_WEIGHT = 32
"""The start of a layer's histogram counts as much as so many of its symbols."""
_ROW_BITS = 22
"""The weights of a context's symbols add up to less than about 2^22. So float32 sums them exactly,
in any order."""


class ContextCounts:
    """The counts of one layer.

    alphabet: number of symbols K. earlier: (CONTEXTS, K), the counts of earlier layers, or None.
    start: (K,), about how frequent each symbol will be, or None if nobody knows.
    """

    def __init__(self, alphabet: int, earlier: Counts | None, start: Counts | None):
        self._counts = np.zeros((SCALES, PREDICTIONS, alphabet), np.int64)
        self._earlier = earlier
        self._earlier_rows: Counts | None = None
        if earlier is not None:
            histogram = earlier.sum(0) + 1
            self._earlier_histogram = _shares(histogram)
            smoothing = _EARLIER_WEIGHT * (_EARLIER_SCALE * histogram // histogram.sum())
            self._earlier_rows = _shares(_EARLIER_SCALE * earlier + smoothing + 1)
            self._earlier_rows = self._earlier_rows.reshape(self._counts.shape)
            if start is None:
                start = histogram
        self._start = _shares(np.ones(alphabet, np.int64) if start is None else start)

    def weights(self) -> NDArray[np.float32]:
        """The weights of the symbols in each context, (CONTEXTS, K), whole numbers above 0.

        Probabilities are in proportion to them.
        """
        histogram = self._counts.sum((0, 1))
        total = int(histogram.sum())
        expected = (histogram * _ONE + _START_WEIGHT * self._start) // (total + _START_WEIGHT) + 1
        of_predictions = _smoothed(self._counts.sum(0), expected)
        of_scales = _smoothed(self._counts.sum(1), expected)
        prior = _shares(of_predictions[None] * of_scales[:, None] // expected + 1)
        if self._earlier_rows is not None:
            from_earlier = expected * self._earlier_rows // self._earlier_histogram + 1
            prior = (prior + _shares(from_earlier)) >> 1
        weights = self._counts * (_ONE // _PRIOR_WEIGHT) + prior + 1
        return _limited(weights.reshape(CONTEXTS, -1)).astype(np.float32)

    def learn(self, contexts: NDArray[np.uint8], symbols: NDArray[np.uint8]) -> Counts:
        """Add symbols (n,) in their contexts (n,). Returns their counts, (CONTEXTS, K)."""
        alphabet = self._counts.shape[2]
        cells = contexts.astype(np.int32) * alphabet + symbols
        counts = np.bincount(cells, minlength=CONTEXTS * alphabet)
        self._counts += counts.reshape(self._counts.shape)
        return counts.reshape(CONTEXTS, alphabet)

    def total(self) -> Counts:
        """The counts of this layer, and half of those of earlier ones, (CONTEXTS, K)."""
        counts = self._counts.reshape(CONTEXTS, -1)
        return counts if self._earlier is None else counts + self._earlier // 2


def _shares(counts: Counts) -> Counts:
    """Positive numbers (..., K) in proportion to the counts, which add up to about `_ONE`."""
    totals = np.maximum(counts.sum(-1, keepdims=True), 1)
    shares: Counts = counts * _ONE // totals + 1
    return shares


def _smoothed(counts: Counts, expected: Counts) -> Counts:
    """The shares of the counts (..., K), drawn to what is expected where counts are few."""
    totals = counts.sum(-1, keepdims=True)
    smoothed: Counts = (counts * _ONE + _HISTOGRAM_WEIGHT * expected) // (
        totals + _HISTOGRAM_WEIGHT
    )
    return smoothed


def _limited(weights: Counts) -> Counts:
    """Halve the weights (..., K) until they add up to at most about 2^_ROW_BITS.

    All stay positive.
    """
    _, bits = np.frexp(weights.sum(-1, keepdims=True).astype(np.float64))
    limited: Counts = np.maximum(weights >> np.maximum(bits - _ROW_BITS, 0), 1)
    return limited
