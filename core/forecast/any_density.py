"""Scores a network with its initial weights once, and then prunes it to any density at once."""

from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.compress.masks import check_density
from core.compress.ranking import masks_at, rank_weights
from core.config import TrainRecipe
from core.data import Dataset
from core.events import Event
from core.models.card import ModelCard
from core.models.saved import SavedModel
from core.training import setup


@dataclass(frozen=True, eq=False)
class ScoredNetwork:
    """A network with its initial weights, and the rank of each of them.

    saved: the card and the weights, on the CPU.
    ranks: the ranks of the prunable weights by parameter name, as
    `core.compress.ranking.rank_weights` returns them.
    """

    saved: SavedModel
    ranks: dict[str, Tensor]

    def network(self, density: float) -> nn.Module:
        """Return a new network that keeps the best `density` of the prunable weights.

        All other prunable weights are 0, exactly as after `keep_top` and `apply_` of
        `core.compress.masks`. The network is in evaluation mode. Raises UserError for a density
        outside (0, 1].
        """
        check_density(density)
        state = dict(self.saved.state)
        for name, mask in masks_at(self.ranks, density).items():
            state[name] = state[name].masked_fill(~mask, 0.0)
        return SavedModel(self.saved.card, state).network()


def score_network(recipe: TrainRecipe, dataset: Dataset) -> Generator[Event, None, ScoredNetwork]:
    """Build the recipe's network and score its weights on the first training batch.

    The weights are those that the training begins with: drawn anew after scoring, if the method
    wants it. Yields Progress. Raises UserError as the training would, and ValueError for a recipe
    that does not prune.
    """
    model, scores = yield from setup.build_and_score(recipe, dataset)
    setup.reinitialize_(model, recipe, dataset)
    card = ModelCard(
        model=recipe.model,
        dataset=recipe.dataset,
        classes=dataset.classes,
        mean=dataset.mean,
        std=dataset.std,
        side=dataset.side,
    )
    state = {
        name: tensor.detach().to("cpu", memory_format=torch.contiguous_format)
        for name, tensor in model.state_dict().items()
    }
    return ScoredNetwork(SavedModel(card, state), rank_weights(scores))
