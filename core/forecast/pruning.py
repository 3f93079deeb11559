"""Forecasts what a recipe would prune, at every density, before anything is trained.

The network, the first batch and the scores come from `core.training.setup`, as in the training.
"""

import gc
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.compress.pruning.methods import PRUNING_METHODS, count_of_pattern
from core.config import Pattern, Prune, TrainRecipe
from core.events import Event

if TYPE_CHECKING:
    from core.compress.ranking import LayerRanking
    from core.data import Dataset
    from core.forecast.cost import LayerCost, SizeEstimate
    from core.forecast.paths import RankedPaths

# The settings of a TrainRecipe that change its scores; the pruning settings are treated apart.
_SETTINGS_OF_SCORES = {
    "model",
    "dataset",
    "batch_size",
    "augment",
    "train_images",
    "validation",
    "seed",
    "device",
}


@dataclass(frozen=True)
class PrunedLayer:
    """A layer's weight after pruning.

    name: the name of its parameter.
    kept: number of weights that are kept.
    weights: number of all its weights.
    macs: multiply-adds of the unpruned layer for one image.
    """

    name: str
    kept: int
    weights: int
    macs: int

    @property
    def density(self) -> float:
        """Fraction of the weights that is kept."""
        return self.kept / self.weights


@dataclass(frozen=True)
class PrunedNetwork:
    """A network after pruning to one density.

    layers: its prunable layers in order.
    macs_left: multiply-adds of one image that remain if every zero is skipped.
    macs: multiply-adds before pruning.
    size: the estimated size of its file.
    """

    layers: list[PrunedLayer]
    macs_left: int
    macs: int
    size: "SizeEstimate"

    @property
    def kept(self) -> int:
        """Number of prunable weights that are kept."""
        return sum(layer.kept for layer in self.layers)

    @property
    def weights(self) -> int:
        """Number of prunable weights."""
        return sum(layer.weights for layer in self.layers)

    @property
    def dead(self) -> list[str]:
        """Names of the layers that keep no weight."""
        return [layer.name for layer in self.layers if layer.kept == 0]


@dataclass(frozen=True)
class PruningPreview:
    """A scored network, from which any density can be read off.

    ranking: the order of all prunable weights by score.
    costs: the cost of each prunable layer.
    unprunable: number of values in the network that are never pruned.
    paths: tells which share of the kept weights can matter; None for a network that is too large.
    """

    ranking: "LayerRanking"
    costs: "list[LayerCost]"
    unprunable: int
    paths: "RankedPaths | None" = None

    def at(self, density: float, layerwise: bool, pattern: Pattern = "free") -> PrunedNetwork:
        """Return the network pruned to a density in (0, 1], within milliseconds.

        With a pattern the density has no effect. Its counts are exactly those of
        `core.compress.masks.keep_top`.
        """
        from core.forecast.cost import effective_macs, estimated_bytes

        kept = self.ranking.kept(density, layerwise)
        if pattern != "free":
            kept = {cost.name: count_of_pattern(cost.shape, pattern) for cost in self.costs}
        totals = self.ranking.totals
        macs = {cost.name: cost.macs for cost in self.costs}
        return PrunedNetwork(
            layers=[PrunedLayer(name, kept[name], totals[name], macs[name]) for name in totals],
            macs_left=effective_macs(self.costs, kept),
            macs=sum(macs.values()),
            size=estimated_bytes(kept, totals, self.unprunable),
        )


def scoring_recipe(recipe: TrainRecipe) -> TrainRecipe:
    """Return the recipe with default values for all settings that do not change its scores.

    Recipes with the same scoring recipe share a preview. A recipe that prunes nothing gets the
    scores of SNIP.
    """
    prune = recipe.prune or Prune()
    facts = PRUNING_METHODS[prune.method]
    unused: set[str] = set()
    if not facts.iterative:  # the scores then serve every density
        unused |= {"density", "layerwise", "rounds", "pattern"}
    if not facts.needs_data:
        unused |= {"batch_size", "batches", "score_mode", "augment"}
    prune = Prune(**prune.model_dump(exclude=unused))
    return TrainRecipe(**recipe.model_dump(include=_SETTINGS_OF_SCORES), prune=prune)


def preview_pruning(
    recipe: TrainRecipe, dataset: "Dataset"
) -> Generator[Event, None, PruningPreview]:
    """Build the recipe's network and score its weights on the first training batch.

    Yields Progress. Raises UserError as the training would.
    """
    from core.compress.ranking import layers_by_rank, rank_weights
    from core.forecast.cost import layer_costs
    from core.forecast.paths import follow_ranks
    from core.training import setup

    model, scores = yield from setup.build_and_score(scoring_recipe(recipe), dataset)
    ranks = rank_weights(scores)
    ranking = layers_by_rank(ranks)
    costs = [cost for cost in layer_costs(model, dataset.side) if cost.name in ranking.totals]
    values = sum(tensor.numel() for tensor in model.state_dict().values())
    unprunable = values - sum(ranking.totals.values())
    return PruningPreview(ranking, costs, unprunable, follow_ranks(model, ranks, dataset.side))


def release_gpu_memory() -> None:
    """Return the GPU memory that previews left in this process's cache, for runs to use."""
    import torch

    if torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()
