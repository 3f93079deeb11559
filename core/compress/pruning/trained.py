"""Chooses which weights of a trained network stay: first how many of each layer, then which.

Weights that are 0 already have been pruned before, and never come back.
"""

from collections.abc import Collection, Generator, Mapping

import torch
from torch import Tensor, nn

from core.compress.pruning.random_scores import erk_scores, uniform_plus_scores
from core.compress.pruning.saliency import ScoringOptions
from core.compress.pruning.scoring_images import ScoringImages
from core.compress.pruning.selection import Scores, highest_keys, sortable_keys
from core.compress.snip import scoring_steps
from core.config import LayerDensities, Method, PruneRecipe
from core.errors import UserError
from core.events import Progress
from core.models.parameters import prunable_weights

Weights = Mapping[str, Tensor]
"""The prunable weights of a network by parameter name, in the network's order."""


def score_trained(
    recipe: PruneRecipe, network: nn.Module, images: ScoringImages
) -> Generator[Progress, None, Scores]:
    """Score all prunable weights as the recipe says; those that are 0 score -1.

    Compensated pruning takes the layer densities of the magnitude, so it has those scores. They
    serve every density. images: methods that need no data look at their size only.
    """
    method: Method = "magnitude"
    if recipe.method != "compensated":
        method = recipe.method
    options = ScoringOptions("eval", recipe.seed)
    scores = yield from scoring_steps(method, network, images, density=1.0, options=options)
    return without_zeros(scores, prunable_weights(network))


def spared_layers(recipe: PruneRecipe, names: list[str]) -> list[str]:
    """Return which of the prunable weights the recipe spares. names: in the network's order."""
    first = names[:1] if recipe.spare_first else []
    last = names[-1:] if recipe.spare_last else []
    return list(dict.fromkeys(first + last))  # a network may have one layer


def without_zeros(scores: Scores, weights: Weights) -> Scores:
    """Return the scores with -1 for weights that are 0. All other scores must not be negative."""
    return {
        name: score.masked_fill(weights[name].to(score.device) == 0, -1.0)
        for name, score in scores.items()
    }


def count_nonzero(weights: Weights) -> dict[str, int]:
    """Return how many weights of each layer are not 0."""
    return {name: int(weight.count_nonzero()) for name, weight in weights.items()}


def density_of(weights: Weights) -> float:
    """Return the fraction of all these weights that is not 0."""
    return sum(count_nonzero(weights).values()) / _count(weights)


def choose_counts(
    scores: Scores,
    weights: Weights,
    density: float,
    layer_densities: LayerDensities = "global",
    spared: Collection[str] = (),
) -> dict[str, int]:
    """Return how many weights each layer keeps: round(density * n) of all n weights together.

    scores: as `without_zeros` returns them. spared: names of layers in which nothing is pruned.
    "layerwise" rounds in each layer by itself, and keeps at least one weight of each. A layer never
    keeps more weights than are not 0, so that a network that was pruned before may keep fewer.
    Raises UserError if the spared layers alone have more weights than are to be kept.
    """
    left = count_for_others(weights, density, spared)
    available = count_nonzero(weights)
    competing = {name: weight for name, weight in weights.items() if name not in spared}
    match layer_densities:
        case "global":
            wanted = _counts_of_highest({name: scores[name] for name in competing}, left)
        case "layerwise":
            share = left / _count(competing)
            wanted = {
                name: max(1, round(share * weight.numel())) for name, weight in competing.items()
            }
        case "erk":
            wanted = _counts_of_highest(erk_scores(competing, _any_order()), left)
        case "uniform+":  # the first convolution and the last linear layer of the whole network
            floors = uniform_plus_scores(weights, _any_order())
            wanted = _counts_of_highest({name: floors[name] for name in competing}, left)
    return {name: min(wanted.get(name, count), count) for name, count in available.items()}


def count_for_others(weights: Weights, density: float, spared: Collection[str]) -> int:
    """Return how many weights the layers that are not spared keep together.

    Raises UserError if the spared layers alone have more weights than are to be kept.
    """
    total = round(density * _count(weights))
    of_spared = sum(int(weights[name].count_nonzero()) for name in spared)
    if total < of_spared or len(spared) == len(weights):
        raise UserError(
            f"density {density:g} keeps {total:,} weights, and the spared layers alone have"
            f" {of_spared:,}: take a higher density, or spare fewer layers"
        )
    return total - of_spared


def keep_highest(scores: Scores, counts: Mapping[str, int]) -> dict[str, Tensor]:
    """Return masks that keep exactly so many weights of each layer, those with the highest scores.

    Among equal scores the lower flat index wins.
    """
    keys = sortable_keys(scores)
    masks = {}
    for (name, score), layer_keys in zip(scores.items(), keys, strict=True):
        (mask,) = highest_keys([layer_keys], counts[name])
        masks[name] = mask.view(score.shape)
    return masks


def _counts_of_highest(scores: Scores, count: int) -> dict[str, int]:
    masks = highest_keys(sortable_keys(scores), count)
    return {name: int(mask.sum()) for name, mask in zip(scores, masks, strict=True)}


def _count(weights: Weights) -> int:
    return sum(weight.numel() for weight in weights.values())


def _any_order() -> torch.Generator:
    """A generator for scores of which only the number in each layer is looked at."""
    return torch.Generator().manual_seed(0)
