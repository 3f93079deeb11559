"""Seeds that follow from a recipe's seed, for what must not repeat the draw of the weights.

A generator with the recipe's own seed repeats the numbers that the initial weights are made of.
Random scores from it are no random choice: in the linear layers of VGG16 they sort as the weights
do.
"""

from typing import Literal

import numpy as np

Purpose = Literal["pruning", "reinitialization"]

_KEYS: dict[Purpose, int] = {"pruning": 1, "reinitialization": 2}


def derived_seed(seed: int, purpose: Purpose) -> int:
    """Return another seed in [0, 2^63), which depends on the seed and the purpose only."""
    sequence = np.random.SeedSequence(seed, spawn_key=(_KEYS[purpose],))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
