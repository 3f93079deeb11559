"""A network at its initial weights, scored once, and from then on at any density at once."""

from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.compress.masks import check_density
from core.compress.ranks import masks_at, ranks
from core.config import TrainRecipe
from core.data import Dataset
from core.events import Event
from core.models.saved import Facts, SavedModel
from core.training import setup


@dataclass(frozen=True, eq=False)
class Fresh:
    """The initial weights on the CPU, and the `ranks` (see `core.compress.ranks`) of the prunable ones."""

    saved: SavedModel
    ranks: dict[str, Tensor]

    def network(self, density: float) -> nn.Module:
        """A network of its own with all weights but the best `density` of them at 0, in evaluation mode.

        The same as `masks.keep_top` and `masks.apply_` give. Raises UserError outside (0, 1].
        """
        check_density(density)
        state = self.saved.state
        pruned = {name: state[name].masked_fill(~mask, 0.0) for name, mask in masks_at(self.ranks, density).items()}
        return SavedModel(self.saved.facts, state | pruned).network()


def scored(recipe: TrainRecipe, dataset: Dataset) -> Generator[Event, None, Fresh]:
    """Build the recipe's network and score its weights on the first training batch; yields Progress on the way.

    Raises UserError as the training would, and ValueError for a recipe that does not prune.
    """
    if recipe.prune is None:
        raise ValueError("a recipe that prunes nothing has no scores")
    model, scores = yield from setup.scored(recipe, dataset)
    facts = Facts(model=recipe.model, dataset=recipe.dataset, classes=dataset.classes, mean=dataset.mean,
                  std=dataset.std, side=dataset.side)
    state = {name: tensor.detach().to("cpu", memory_format=torch.contiguous_format)
             for name, tensor in model.state_dict().items()}
    return Fresh(SavedModel(facts, state), ranks(scores))
