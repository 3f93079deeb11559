"""Levels: small integers that say how large the weight is that a symbol stands for.

Contexts compare weights by their levels. Their root mean square is about `LEVEL_RMS`, in all
layers, so that layers can learn from each other. Writer and reader compute the same levels: only
the writer measures the unit, and the file holds its code.
"""

import math

import numpy as np
from numpy.typing import NDArray

LEVEL_RMS = 64
HIGHEST_LEVEL = 1 << 12
"""Levels are in [-HIGHEST_LEVEL, HIGHEST_LEVEL], so that sums of their products stay exact."""

_UNIT_CODES = (-1200, 1000)
"""Codes of units beyond float32's smallest and largest number do not occur."""

Levels = NDArray[np.int16]


def unit_code(values: NDArray[np.float64], counts: NDArray[np.int64]) -> int:
    """The code of the unit in which values have about the usual root mean square.

    values: (K,), what each symbol stands for. counts: (K,), how often each symbol occurs.
    """
    mean_square = float((counts * values**2).sum()) / max(1, int(counts.sum()))
    if mean_square == 0:
        return 0
    code = round(8 * math.log2(math.sqrt(mean_square) / LEVEL_RMS))
    lowest, highest = _UNIT_CODES
    return min(max(code, lowest), highest)


def levels_in_units(values: NDArray[np.float64], code: int) -> Levels:
    """The levels of the values (K,) in a unit of 2^octaves * (8 + eighths) / 8.

    code: 8 octaves + eighths. Division and rounding are the same on every machine.
    """
    octaves, eighths = divmod(code, 8)
    unit = math.ldexp((8 + eighths) / 8, octaves)
    rounded = np.rint(np.clip(values / unit, -HIGHEST_LEVEL, HIGHEST_LEVEL))
    return rounded.astype(np.int16)


def mask_levels(dropped: int, kept: int) -> Levels:
    """The levels of a mask's two symbols: 0 for a zero, and one for a kept weight."""
    level = math.isqrt(LEVEL_RMS**2 * (dropped + kept) // max(1, kept))
    return np.array([0, min(level, HIGHEST_LEVEL)], np.int16)
