"""The registry of pruning methods: plain facts, without torch, for forms and commands.

`core.compress.snip` computes their scores.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.config import PATTERN_DENSITIES
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


def cuts_channels(method: str) -> bool:
    """Whether a method cuts whole channels. "compensated" is none of the registry, and does not."""
    return method in PRUNING_METHODS and PRUNING_METHODS[method].channels


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


GROUP = 4
"""Weights of a group of a pattern. They follow each other along the input channels."""


def check_pattern(
    method: str, pattern: str, layerwise: bool, names: Mapping[str, str] | None = None
) -> None:
    """Check that a known method leaves open what a pattern decides.

    names: the words for "prune.pattern", "prune.layerwise" and "prune.method" in the error. Raises
    UserError.
    """
    if pattern == "free":
        return
    names = names or {}
    word = names.get("prune.pattern", "pattern")
    facts = PRUNING_METHODS[method]
    if layerwise:
        raise UserError(
            f"{names.get('prune.layerwise', 'layerwise')} must be False with {word} {pattern},"
            " which sets the density of each layer itself, got True"
        )
    reason = ""
    if facts.channels:
        reason = "which cuts whole channels"
    elif facts.sets_layer_densities:
        reason = "which sets the density of each layer itself"
    elif facts.iterative:
        reason = "whose rounds before the last one know no pattern"
    if reason:
        raise UserError(
            f"{word} must be free with {names.get('prune.method', 'method')} {method}, {reason},"
            f" got {pattern}"
        )


def has_groups(shape: Sequence[int]) -> bool:
    """Whether a pattern prunes a layer: its weight (out, in, ...) has groups of input channels.

    Layers with other numbers of input channels stay dense: the first convolution, with three, and
    depthwise convolutions, with one.
    """
    return len(shape) > 1 and shape[1] % GROUP == 0


def count_of_pattern(shape: Sequence[int], pattern: str) -> int:
    """Return how many weights of a layer of this shape a pattern other than free keeps."""
    total = math.prod(shape)
    return round(total * PATTERN_DENSITIES[pattern]) if has_groups(shape) else total


def scores_on_images(method: str) -> bool:
    """Whether the scores of a pruning need images; compensated pruning's are magnitudes."""
    return method != "compensated" and PRUNING_METHODS[method].needs_data


def learns_from_images(method: str) -> bool:
    """Whether a pruning looks at images at all, as compensated pruning does."""
    return method == "compensated" or PRUNING_METHODS[method].needs_data
