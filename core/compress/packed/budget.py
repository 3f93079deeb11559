"""Limits the work that a packed file may ask of its reader.

Each unit of `core.compress.packed.contexts` takes about half a millisecond, however few weights it
has, and up to five times as long with a large alphabet. A forged file could name a hundred thousand
of them.
"""

from collections.abc import Sequence

from core.compress.packed.contexts import has_contexts, unit_count

_LETTERS_OF_ONE_UNIT = 256
"""A unit counts once more for so many letters of its alphabet."""
_UNITS_OF_ANY_FILE = 1 << 14
_WEIGHTS_PER_FURTHER_UNIT = 1 << 10
"""A file may have so many units, and one more for so many of its weights.

The networks of the registry stay below that, whatever their weights are.
"""


class UnitBudget:
    """Counts the weights and the units of a file.

    The writer codes a weight in contexts only where this allows it, so the reader refuses none of
    its files.
    """

    def __init__(self) -> None:
        self._weights = 0
        self._units = 0

    def add_weights(self, count: int) -> None:
        """Count the weights of the next tensor, before its units."""
        self._weights += count

    def allows(self, shape: Sequence[int], size: int, alphabet: int) -> bool:
        """Whether a weight of this shape may be coded in contexts; see `has_contexts`."""
        if not has_contexts(shape, size, alphabet):
            return False
        most = _UNITS_OF_ANY_FILE + self._weights // _WEIGHTS_PER_FURTHER_UNIT
        return self._units + _weighted_count(shape, size, alphabet) <= most

    def spend(self, shape: Sequence[int], size: int, alphabet: int) -> None:
        """Count the units of a weight that is coded in contexts."""
        self._units += _weighted_count(shape, size, alphabet)


def _weighted_count(shape: Sequence[int], size: int, alphabet: int) -> int:
    """The number of units, each as often as it counts."""
    return unit_count(shape, size, alphabet) * (1 + alphabet // _LETTERS_OF_ONE_UNIT)
