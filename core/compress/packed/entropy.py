"""Entropy coding of small integers with the `constriction` library: asymmetric numeral systems.

Duda (arXiv:1311.2540); Bamler, "Understanding Entropy Coding With Asymmetric Numeral Systems"
(arXiv:2201.01741). The probabilities are whole multiples of 2^-16. They are derived from one byte
per symbol by integer arithmetic, so that every machine decodes with exactly the probabilities that
another one encoded with.
"""

from collections.abc import Sequence

import constriction
import numpy as np
from numpy.typing import ArrayLike, NDArray

Message = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Symbols (n,), each below k, and the codes of their counts (k,), 2 <= k <= 256."""

_UNITS = 1 << 16
"""Probabilities are in units of 2^-16, so those of all symbols add up to this."""

_EIGHTHS = np.rint(256 * 2.0 ** (np.arange(8) / 8)).astype(np.int64)
"""256 * 2^(i / 8) for the eighths i = 0 ... 7 of an octave."""

_PIECE = 1 << 22
"""Symbols that are coded at once. The coder works on int32, so pieces save memory."""


def entropy(counts: ArrayLike) -> float:
    """The fewest bits that symbols with these counts need, if only their frequencies are used."""
    numbers = np.asarray(counts, np.float64)
    numbers = numbers[numbers > 0]
    bits = (numbers * np.log2(numbers.sum() / numbers)).sum()
    return float(bits) + 0.0  # turns -0.0 into 0.0


def count_codes(counts: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Code each count in one byte of the file: 0 for a count of 0, else 1 + 8 log2(count).

    This is precise to about 4%. Coding with probabilities that are so far off costs less than a
    thousandth of a bit per symbol.
    """
    octaves = np.log2(np.maximum(counts, 1))
    codes = np.minimum(1 + np.rint(8 * octaves), 255)
    return np.where(counts > 0, codes, 0).astype(np.uint8)


def encode(messages: Sequence[Message]) -> NDArray[np.uint32]:
    """Encode all messages into one stream of words."""
    coder = constriction.stream.stack.AnsCoder()
    for symbols, codes in reversed(messages):  # the coder is a stack: the last in is the first out
        model = _symbol_model(codes)
        for start in reversed(range(0, len(symbols), _PIECE)):
            piece = symbols[start : start + _PIECE].astype(np.int32)
            coder.encode_reverse(piece, model)
    words: NDArray[np.uint32] = coder.get_compressed()
    return words


class Decoder:
    """Reads the messages of a stream in their order.

    Raises ValueError for words that `encode` cannot have written. A stream of any length decodes to
    any number of symbols, so the caller of `read` must limit the count.
    """

    def __init__(self, words: NDArray[np.uint32]):
        self._coder = constriction.stream.stack.AnsCoder(words)

    def read(self, codes: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
        """Decode the next `count` symbols by the count codes that they were encoded with."""
        model = _symbol_model(codes)
        symbols = np.empty(count, np.uint8)
        for start in range(0, count, _PIECE):
            piece = symbols[start : start + _PIECE]
            piece[:] = self._coder.decode(model, len(piece))
        return symbols

    def finish(self) -> None:
        """Check that the stream has ended. Raises ValueError if it has not."""
        if not self._coder.is_empty():
            raise ValueError("bytes are left after the last symbol")


def _symbol_model(codes: NDArray[np.uint8]) -> constriction.stream.model.Categorical:
    return constriction.stream.model.Categorical(_probabilities(codes) / _UNITS, perfect=False)


def _probabilities(codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Probabilities of the symbols in units of 2^-16, from the codes (k,) of their counts.

    Each is at least 1, also for a count of 0. Rounding leaves some units over, which the most
    frequent symbol gets.
    """
    octaves, eighths = np.divmod(codes.astype(np.int64) - 1, 8)
    counts = _EIGHTHS[eighths] << np.maximum(octaves, 0)  # about 256 times as large as they were
    counts[codes == 0] = 0
    total = max(int(counts.sum()), 1)
    units_to_share = _UNITS - len(codes)
    probabilities = 1 + counts * units_to_share // total
    probabilities[counts.argmax()] += _UNITS - probabilities.sum()
    return probabilities
