"""The registry of pruning methods: plain facts, without torch, for forms and commands.

`core.compress.snip` computes their scores.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from core.errors import UserError


@dataclass(frozen=True)
class PruningMethod:
    """A way to score the weights of a network before training.

    description: one line for a reader who chooses a method.
    needs_data: whether the scores depend on images and labels.
    default_rounds: how often the method scores and cuts if the recipe does not say. A one-shot
    method scores once.
    recovers: whether the weights that a round has cut compete again in the next round.
    signed: whether the sign of a score counts. Otherwise its absolute value does.
    sets_layer_densities: whether the method itself decides which fraction each layer keeps, so that
    it cannot be layerwise.
    reinitializes: whether the weights are drawn anew after they have been scored.
    channels: whether whole channels are cut. The density counts weights all the same: the best
    channels stay, with all weights between them, and one last group of them in part, so that
    exactly as many weights stay as with the other methods.
    """

    description: str
    needs_data: bool
    default_rounds: int = 1
    recovers: bool = False
    signed: bool = False
    sets_layer_densities: bool = False
    reinitializes: bool = False
    channels: bool = False

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
    "force": PruningMethod(
        "SNIP in rounds, in which weights that were cut can come back (FORCE)",
        needs_data=True,
        default_rounds=20,
        recovers=True,
    ),
    "grasp": PruningMethod(
        "Keeps the weights whose removal would shrink the gradient most (GraSP)",
        needs_data=True,
        signed=True,
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
    "erk": PruningMethod(
        "Random weights, and a higher density in layers with few channels (Erdos-Renyi-Kernel)",
        needs_data=False,
        sets_layer_densities=True,
    ),
    "uniform+": PruningMethod(
        "Random weights at the same density, but a dense first convolution and 20% of the last"
        " layer",
        needs_data=False,
        sets_layer_densities=True,
    ),
    "random": PruningMethod(
        "Random scores, as the baseline to beat",
        needs_data=False,
    ),
    "snip-shuffled": PruningMethod(
        "As many weights of each layer as SNIP keeps, but random ones: do the positions matter?",
        needs_data=True,
    ),
    "snip-reinitialized": PruningMethod(
        "The weights that SNIP keeps, with new initial values: do the values matter?",
        needs_data=True,
        reinitializes=True,
    ),
    "channel-snip": PruningMethod(
        "SNIP's scores summed over each output channel: cuts whole channels",
        needs_data=True,
        sets_layer_densities=True,
        channels=True,
    ),
    "channel-magnitude": PruningMethod(
        "|weight| summed over each output channel: cuts whole channels",
        needs_data=False,
        sets_layer_densities=True,
        channels=True,
    ),
}


def check_layerwise(method: str, layerwise: bool, names: Mapping[str, str] | None = None) -> None:
    """Check that a known method that is layerwise leaves the layer densities open.

    names: the words for "prune.method" and "prune.layerwise" in the error. Raises UserError.
    """
    if not layerwise or not PRUNING_METHODS[method].sets_layer_densities:
        return
    names = names or {}
    raise UserError(
        f"{names.get('prune.layerwise', 'layerwise')} must be False with"
        f" {names.get('prune.method', 'method')} {method}, which sets the density of each layer"
        " itself, got True"
    )
