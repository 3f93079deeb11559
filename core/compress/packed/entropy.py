"""Entropy coding of small integers with the `constriction` library: asymmetric numeral systems.

Duda (arXiv:1311.2540); Bamler, "Understanding Entropy Coding With Asymmetric Numeral Systems"
(arXiv:2201.01741). Every machine has to decode with exactly the probabilities that another one
encoded with. So they come from whole numbers, by integer arithmetic or by sums that are exact:
either from one byte per symbol in the file, or from the likelihoods of contexts.
"""

from collections.abc import Iterator
from typing import Any

import constriction
import numpy as np
from numpy.typing import ArrayLike, NDArray

_Model = tuple[Any, ...]
"""What the coder of `constriction` needs besides the symbols: a model, or a family of models and
the parameters of each symbol."""

_Piece = tuple[NDArray[np.uint8], _Model]

_MODELS = constriction.stream.model.Categorical(lazy=True, perfect=False)
"""The models whose likelihoods are given symbol by symbol."""

_MANY = 1 << 13
"""From so many symbols on, sorting them by context takes less time than a model for each symbol."""

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


def scaled_counts(codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The counts that codes (k,) stand for, about 256 times as large as they were."""
    octaves, eighths = np.divmod(codes.astype(np.int64) - 1, 8)
    counts = _EIGHTHS[eighths] << np.maximum(octaves, 0)
    counts[codes == 0] = 0
    return counts


class Encoder:
    """Collects symbols, and encodes all of them into one stream of words."""

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []

    def add(self, symbols: NDArray[np.uint8], codes: NDArray[np.uint8]) -> None:
        """Append symbols (n,) with the codes (k,) of their counts."""
        model = _symbol_model(codes)
        for start in range(0, len(symbols), _PIECE):
            self._pieces.append((symbols[start : start + _PIECE], (model,)))

    def add_in_contexts(
        self,
        symbols: NDArray[np.uint8],
        contexts: NDArray[np.uint8],
        likelihoods: NDArray[np.float32],
    ) -> None:
        """Append symbols (n,) with the context (n,) of each.

        likelihoods: (contexts, k), whole numbers in proportion to the probabilities of the symbols.
        The numbers of a context add up to at most 2^23, so their sums in float32 are exact.
        """
        for places, model in _parts(contexts, likelihoods):
            self._pieces.append((symbols[places], model))

    def words(self) -> NDArray[np.uint32]:
        """The stream of all symbols."""
        coder = constriction.stream.stack.AnsCoder()
        for symbols, model in reversed(self._pieces):  # of a stack, the last in is the first out
            coder.encode_reverse(symbols.astype(np.int32), *model)
        words: NDArray[np.uint32] = coder.get_compressed()
        return words


class Decoder:
    """Reads the symbols of a stream in their order.

    Raises ValueError for words that `Encoder` cannot have written. A stream of any length decodes
    to any number of symbols, so the caller must limit the count.
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

    def read_in_contexts(
        self, contexts: NDArray[np.uint8], likelihoods: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        """Decode the symbols (n,) that `add_in_contexts` appended with the same arguments."""
        symbols = np.empty(len(contexts), np.uint8)
        for places, model in _parts(contexts, likelihoods):
            # With one model for all symbols their number has to be said.
            count = () if len(model) > 1 else (len(places),)
            symbols[places] = self._coder.decode(*model, *count)
        return symbols

    def finish(self) -> None:
        """Check that the stream has ended. Raises ValueError if it has not."""
        if not self._coder.is_empty():
            raise ValueError("bytes are left after the last symbol")


def _parts(
    contexts: NDArray[np.uint8], likelihoods: NDArray[np.float32]
) -> Iterator[tuple[NDArray[np.int64], _Model]]:
    """Divide symbols by their contexts (n,) into parts that one call codes.

    Few symbols are one part, in which each has a row of likelihoods. Many are sorted by context,
    and all symbols of a context have one model, which is several times as fast.
    """
    if len(contexts) < _MANY:
        yield np.arange(len(contexts)), (_MODELS, likelihoods[contexts])
        return
    order = np.argsort(contexts, kind="stable")
    ends = np.cumsum(np.bincount(contexts, minlength=len(likelihoods)))
    starts = np.append(0, ends[:-1])
    for start, end, row in zip(starts, ends, likelihoods, strict=True):
        if start < end:
            model = constriction.stream.model.Categorical(row, perfect=False)
            yield order[start:end], (model,)


def _symbol_model(codes: NDArray[np.uint8]) -> constriction.stream.model.Categorical:
    return constriction.stream.model.Categorical(_probabilities(codes) / _UNITS, perfect=False)


def _probabilities(codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Probabilities of the symbols in units of 2^-16, from the codes (k,) of their counts.

    Each is at least 1, also for a count of 0. Rounding leaves some units over, which the most
    frequent symbol gets.
    """
    counts = scaled_counts(codes)
    total = max(int(counts.sum()), 1)
    units_to_share = _UNITS - len(codes)
    probabilities = 1 + counts * units_to_share // total
    probabilities[counts.argmax()] += _UNITS - probabilities.sum()
    return probabilities
