"""Chooses which weights of a trained network stay, as a recipe says, and sets the others to 0."""

from collections.abc import Generator

import torch
from torch import Tensor, nn

from core.compress.pruning.scoring_images import ScoringImages
from core.compress.pruning.trained import (
    choose_counts,
    count_for_others,
    count_nonzero,
    density_of,
    keep_highest,
    score_trained,
    spared_layers,
)
from core.compress.sparse.network import prune_network
from core.config import PruneRecipe
from core.events import Event, Note
from core.jobs.compression_images import CompressionImages
from core.models.parameters import prunable_weights

_SCORING_BATCH = 128


class MaskChooser:
    """Prunes `network` as the recipe says.

    masks: which weights are kept, by parameter name; before the first pruning those that are not 0.
    first_density: the fraction of the weights that is not 0 before the first pruning.

    Raises UserError if the spared layers alone have more weights than the recipe keeps.
    """

    def __init__(self, recipe: PruneRecipe, network: nn.Module, images: CompressionImages):
        self.recipe = recipe
        self.network = network
        self.images = images
        weights = prunable_weights(network)
        self.masks = {name: (weight != 0).detach() for name, weight in weights.items()}
        self.first_density = density_of(weights)
        self._spared = spared_layers(recipe, list(weights))
        count_for_others(weights, recipe.density, self._spared)  # refuses what cannot work

    def prune_(self, density: float) -> Generator[Event, None, None]:
        """Choose new masks for a density, and set the weights outside them to 0.

        Compensated pruning changes the kept weights too. Raises UserError if the spared layers
        alone have more weights than the density keeps.
        """
        weights = prunable_weights(self.network)
        scores = yield from score_trained(
            self.recipe, self.network, images_to_score_on(self.images)
        )
        counts = choose_counts(scores, weights, density, self.recipe.layer_densities, self._spared)
        if self.recipe.method == "compensated":
            yield from self._compensate_(counts)
        else:
            self.masks = keep_highest(scores, counts)
            # Filled, never multiplied: -1 * 0 is -0.0.
            self._set_weights_(
                {name: weights[name].masked_fill(~mask, 0.0) for name, mask in self.masks.items()}
            )

    def _compensate_(self, counts: dict[str, int]) -> Generator[Event, None, None]:
        network = self.network.eval()
        before = count_nonzero(prunable_weights(network))
        pruned = {name: count for name, count in counts.items() if count < before[name]}
        batches = self.images.learning_batches()
        sparse = yield from prune_network(network, pruned, batches)
        self.masks = self.masks | sparse.masks
        self._set_weights_(sparse.weights)
        yield Note(sparse.describe(sum(len(batch) for batch in batches)))

    @torch.no_grad()
    def _set_weights_(self, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            self.network.get_parameter(name).copy_(value)


def images_to_score_on(images: CompressionImages) -> ScoringImages:
    """Return the training images from which pruning learns, in the form that scoring takes."""
    learning = images.learning()
    count = len(learning)

    def load(start: int, stop: int) -> tuple[Tensor, Tensor]:
        return learning.batch(slice(start, stop))

    return ScoringImages(load, count, count, min(_SCORING_BATCH, count))
