"""Forecasts what pruning a trained network keeps of each layer, and what that costs and saves.

The counts are exactly those of the run, because the same functions choose them.
"""

import copy
from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import nn

from core.compress.channels.dead import ChannelReport, compare_costs, find_dead_channels
from core.compress.channels.remove import remove_channels
from core.compress.pruning.scoring_images import ScoringImages, images_in_memory
from core.compress.pruning.selection import Scores
from core.compress.pruning.trained import (
    choose_counts,
    count_nonzero,
    density_of,
    keep_highest,
    score_trained,
    spared_layers,
)
from core.config import PruneRecipe
from core.events import Progress
from core.forecast.cost import LayerCost, effective_macs, estimated_bytes, layer_costs
from core.forecast.pruning import PrunedLayer, PrunedNetwork
from core.models.parameters import prunable_weights
from core.models.saved import SavedModel, layer_shapes

_SHARES = (0.8, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
"""Parts of what a network keeps at which its accuracy is tried, denser towards few weights."""


@dataclass(frozen=True, eq=False)
class ScoredParent:
    """A trained network whose weights are scored, from which any density can be read off.

    network: it is not changed. scores: of its prunable weights, as `score_trained` returns them.
    costs: the cost of each prunable layer, in the network's order. unprunable: number of values
    that are never pruned. side: height and width of an image.
    """

    network: nn.Module
    scores: Scores
    costs: list[LayerCost]
    unprunable: int
    side: int

    @property
    def density(self) -> float:
        """The fraction of the prunable weights that is not 0 before the pruning."""
        return density_of(prunable_weights(self.network))

    @property
    def macs(self) -> int:
        """Multiply-adds of one image before the pruning, if every zero is skipped."""
        return effective_macs(self.costs, count_nonzero(prunable_weights(self.network)))

    def at(self, recipe: PruneRecipe) -> PrunedNetwork:
        """Return the network pruned to the recipe's density. Raises UserError as a run would.

        recipe: with the method, images and seed that were scored with.
        """
        kept = self._counts(recipe)
        totals = {cost.name: cost.weights for cost in self.costs}
        return PrunedNetwork(
            layers=[
                PrunedLayer(cost.name, kept[cost.name], cost.weights, cost.macs)
                for cost in self.costs
            ],
            macs_left=effective_macs(self.costs, kept),
            macs=sum(cost.macs for cost in self.costs),
            size=estimated_bytes(kept, totals, self.unprunable),
        )

    def without_channels(self, recipe: PruneRecipe) -> ChannelReport:
        """Return what the network costs once the channels that pruning kills have left it.

        Raises what the network raises for images without content.
        """
        masks = keep_highest(self.scores, self._counts(recipe))
        pruned = copy.deepcopy(self.network)
        with torch.no_grad():
            for name, mask in masks.items():
                pruned.get_parameter(name).masked_fill_(~mask, 0.0)
        smaller = remove_channels(pruned, find_dead_channels(pruned, self.side))
        return compare_costs(pruned, smaller, self.side)

    def _counts(self, recipe: PruneRecipe) -> dict[str, int]:
        weights = prunable_weights(self.network)
        spared = spared_layers(recipe, list(weights))
        return choose_counts(self.scores, weights, recipe.density, recipe.layer_densities, spared)


def score_parent(
    saved: SavedModel,
    recipe: PruneRecipe,
    images: ScoringImages | None,
    device: torch.device | str = "cpu",
) -> Generator[Progress, None, ScoredParent]:
    """Score the weights of a trained network as a pruning with this recipe does.

    images: those that the run scores on; None for a method that needs none. Yields Progress.
    """
    network = saved.network().to(device).to(memory_format=torch.channels_last)
    side = saved.card.side
    scores = yield from score_trained(recipe, network, images or _blank_image(side, device))
    costs = [cost for cost in layer_costs(network, side) if cost.name in scores]
    values = sum(tensor.numel() for tensor in saved.state.values())
    unprunable = values - sum(score.numel() for score in scores.values())
    return ScoredParent(network, scores, costs, unprunable, side)


def densities_to_try(saved: SavedModel, recipe: PruneRecipe) -> list[float]:
    """Return the densities at which to measure the accuracy, all below that of the network.

    They are the recipe's density, and then seven parts of what the network keeps, descending. Those
    that spared layers make impossible are left out.
    """
    weights = {name: saved.state[name] for name in layer_shapes(saved.card)}
    counts = count_nonzero(weights)
    all_weights = sum(weight.numel() for weight in weights.values())
    before = density_of(weights)
    least = sum(counts[name] for name in spared_layers(recipe, list(weights))) / all_weights
    densities = {round(share * before, 4) for share in _SHARES} | {recipe.density}
    possible = (one for one in densities if least <= one < before)
    return sorted(possible, key=lambda density: (density != recipe.density, -density))


def _blank_image(side: int, device: torch.device | str) -> ScoringImages:
    """One image without content, for methods that look at its size only."""
    image = torch.zeros(1, 3, side, side, device=device)
    return images_in_memory(image, torch.zeros(1, dtype=torch.int64, device=device), 1)
