"""The registry of pruning methods: plain facts, without torch, for forms and commands.

`core.compress.snip` computes their scores.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class PruningMethod:
    """A way to score the weights of a network before training.

    description: one line for a reader who chooses a method.
    needs_data: whether the scores depend on images and labels.
    default_rounds: how often the method scores and cuts if the recipe does not say. A one-shot
    method scores once.
    """

    description: str
    needs_data: bool
    default_rounds: int = 1

    @property
    def iterative(self) -> bool:
        """Whether the scores hold for one density only. Those of a one-shot method hold for all."""
        return self.default_rounds > 1


PRUNING_METHODS = {
    "snip": PruningMethod(
        "|weight x gradient| on a batch (SNIP)",
        needs_data=True,
    ),
    "iterative-snip": PruningMethod(
        "SNIP in rounds, each on the weights that the last one kept",
        needs_data=True,
        default_rounds=20,
    ),
    "synflow": PruningMethod(
        "Synaptic flow in rounds, without data",
        needs_data=False,
        default_rounds=100,
    ),
    "magnitude": PruningMethod(
        "|weight| at the start",
        needs_data=False,
    ),
    "random": PruningMethod(
        "Random scores, as the baseline to beat",
        needs_data=False,
    ),
}
