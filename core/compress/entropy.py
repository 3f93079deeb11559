"""Entropy coding of small integers with the `constriction` library: asymmetric numeral systems.

Duda (arXiv:1311.2540); Bamler, "Understanding Entropy Coding With Asymmetric Numeral Systems" (arXiv:2201.01741).
Probabilities are whole multiples of 2^-16, and derived from one byte each by integer arithmetic, so that every
machine decodes with exactly those that another one encoded with.
"""

from collections.abc import Sequence

import constriction
import numpy as np

_ONE = 1 << 16
_EIGHTHS = np.rint(256 * 2.0 ** (np.arange(8) / 8)).astype(np.int64)  # 256 * 2^(0 to 7 eighths)
# The coder works on int32; in pieces, a weight of any size takes little memory beside its own byte a symbol.
_PIECE = 1 << 22


def entropy(counts: np.ndarray) -> float:
    """Bits that symbols of these counts take at least, if each is coded by its frequency alone."""
    counts = np.asarray(counts, np.float64)
    counts = counts[counts > 0]
    return float((counts * np.log2(counts.sum() / counts)).sum()) + 0.0


def rough(counts: np.ndarray) -> np.ndarray:
    """The counts in a byte each, for the file: 0 for none, else 1 + 8 log2(count), so known to about 4%.

    Coding with probabilities that are so far off costs less than a thousandth of a bit a symbol.
    """
    return np.where(counts > 0, np.minimum(1 + np.rint(8 * np.log2(np.maximum(counts, 1))), 255), 0).astype(np.uint8)


def _table(codes: np.ndarray) -> np.ndarray:
    """Probabilities in units of 2^-16, at least 1 each and 2^16 together, from rough counts (k,), 2 <= k <= 256."""
    octaves, eighths = np.divmod(codes.astype(np.int64) - 1, 8)
    weights = np.where(codes > 0, _EIGHTHS[eighths] << np.maximum(octaves, 0), 0)
    table = 1 + weights * (_ONE - len(codes)) // max(int(weights.sum()), 1)
    table[weights.argmax()] += _ONE - table.sum()
    return table


def encode(messages: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """One stream (uint32 words) of all messages: pairs of symbols (n,) uint8, below k, and their
    rough counts (k,), 2 <= k <= 256."""
    coder = constriction.stream.stack.AnsCoder()
    for symbols, codes in reversed(messages):
        model = _model(codes)
        for start in reversed(range(0, len(symbols), _PIECE)):
            coder.encode_reverse(symbols[start:start + _PIECE].astype(np.int32), model)
    return coder.get_compressed()


class Decoder:
    """Reads back, in their order, the messages of a stream. Raises ValueError for what `encode` cannot have written.

    A stream of any length decodes to any number of symbols: whoever calls `read` bounds the count.
    """

    def __init__(self, words: np.ndarray):
        self._coder = constriction.stream.stack.AnsCoder(words)

    def read(self, codes: np.ndarray, count: int) -> np.ndarray:
        """The next `count` symbols, uint8, by the rough counts that they were encoded with."""
        model, symbols = _model(codes), np.empty(count, np.uint8)
        for start in range(0, count, _PIECE):
            piece = symbols[start:start + _PIECE]
            piece[:] = self._coder.decode(model, len(piece))
        return symbols

    def finish(self) -> None:
        """Check that the stream held nothing else."""
        if not self._coder.is_empty():
            raise ValueError("bytes are left after the last symbol")


def _model(codes: np.ndarray) -> constriction.stream.model.Categorical:
    return constriction.stream.model.Categorical(_table(codes) / _ONE, perfect=False)
