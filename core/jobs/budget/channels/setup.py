"""Gathers the images of a budget of time, and decides how long it measures and tunes."""

import copy

import numpy as np
import torch
from torch import nn

from core.config import BudgetRecipe
from core.data import Dataset
from core.jobs.budget.channels.speed import NormalisedImages
from core.jobs.budget.channels.thinned import Judge, ThinnedNetwork
from core.jobs.budget.channels.tuning import TUNING_SHARE, ChannelTuning, pruning_recipe
from core.jobs.budget.setup import blend, image_seconds, spread_batches
from core.jobs.compression_images import CompressionImages
from core.models.card import ModelCard
from core.search import plan
from core.search.memory import Memory
from core.training.device import usual_precision
from core.training.held_back import split_for_compression

_MEASURING_SHARE = 0.005  # of the minutes, for the speed of one network
_LEAST_SECONDS = 0.3
_MOST_SECONDS = 5.0


class ThinningSetup:
    """What the search and the tuning work with.

    images: of the pruning. judge: compares answers on blends of held-back images. seconds: for the
    speed of one network. What the clock decides is written to the memory, and taken from there if
    it is known.
    """

    def __init__(
        self,
        recipe: BudgetRecipe,
        card: ModelCard,
        dataset: Dataset,
        network: nn.Module,
        memory: Memory,
    ):
        """network: in float, on the device, in evaluation mode."""
        self._recipe = recipe
        self._card = card
        self._dataset = dataset
        self._memory = memory
        self._device = next(network.parameters()).device
        self.images = self._images()
        choosing = self.images.choosing()
        image = memory.decide("image seconds", lambda: image_seconds(network, choosing))
        self._pace = plan.SearchPace(image, option=0.0, layers=0)
        seconds = 60 * recipe.minutes
        self.seconds = min(_MOST_SECONDS, max(_LEAST_SECONDS, _MEASURING_SHARE * seconds))
        count = min(len(choosing), plan.count_held_back_images(self._pace, seconds))
        self.judge = Judge(network, blend(spread_batches(choosing, count), recipe.seed))

    def pixels(self, count: int) -> NormalisedImages:
        """Return so many training images, normalised, on the CPU; fewer if there are fewer."""
        batches = torch.cat(self.images.learning_batches())[:count]
        pixels: NormalisedImages = np.ascontiguousarray(batches.cpu().numpy())
        return pixels

    def tuning_amount(self, clock: plan.Clock) -> tuple[int, int | None]:
        """Return the number of epochs and of images in each of them, None for all."""
        if self._recipe.tuning_epochs is not None:
            return self._recipe.tuning_epochs, None
        training = len(self.images.tuning())
        extra = self.judge.images

        def affordable() -> float:
            seconds = max(clock.left, TUNING_SHARE * clock.seconds)
            return plan.count_tuning_images(self._pace, seconds, training, extra)

        count = int(self._memory.decide("tuning images", affordable))
        if count >= training:
            return count // training, None
        return (1, max(2, count)) if count else (0, None)

    def tuning(self, start: ThinnedNetwork, epochs: int, count: int | None) -> ChannelTuning:
        """Return the tuning of a network, which has not begun. count: images of an epoch."""
        images = self._images(epochs, count)
        network = copy.deepcopy(self.judge.network)
        network.load_state_dict(start.state)
        precision = usual_precision(self._device)
        return ChannelTuning(
            pruning_recipe(self._recipe, epochs=epochs, train_images=count),
            network,
            self.judge,
            images.tuning(),
            images.augment,
            precision,
        )

    def _images(self, epochs: int = 0, count: int | None = None) -> CompressionImages:
        recipe = pruning_recipe(self._recipe, epochs=epochs, train_images=count)
        split = split_for_compression(self._card, recipe, self._dataset)
        return CompressionImages(recipe, self._card, self._dataset, split, self._device)
