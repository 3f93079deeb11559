"""Decides how much a budget run does, and gathers the images that it does it with."""

import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from core.config import BudgetRecipe
from core.data import Dataset
from core.data.batches import DeviceImages
from core.jobs.budget.tuning import tuning_recipe
from core.jobs.compression_images import CompressionImages
from core.models.card import ModelCard
from core.search import plan
from core.search.memory import Memory
from core.search.options import LayerOption, layer_options, units_of
from core.search.table import option_seconds
from core.training.held_back import split_for_compression

_BATCH = 128  # images
_TIMED_IMAGES = 64
_TIMED_NUMBER = 4  # clusters or bits


class SearchSetup:
    """The amounts of work of a search, and its images.

    images: of the compression; those that are held back choose. pace: of this machine. table: how
    thoroughly each layer is measured. What the clock decides is written to the memory, and taken
    from there if it is known.
    """

    def __init__(
        self,
        recipe: BudgetRecipe,
        card: ModelCard,
        dataset: Dataset,
        network: nn.Module,
        names: Sequence[str],
        memory: Memory,
    ):
        """network: in float, on the device, in evaluation mode. names: of its weights."""
        self._recipe = recipe
        self._card = card
        self._memory = memory
        self._seconds = 60 * recipe.minutes
        self._device = next(network.parameters()).device
        tuning = tuning_recipe(recipe, 1, None)
        split = split_for_compression(card, tuning, dataset)
        self.images = CompressionImages(tuning, card, dataset, split, self._device)
        self._choosing = self.images.choosing()
        self.pace = self._measure_pace(network, names)
        self.table = self._plan_table()

    def judging_batches(self) -> list[Tensor]:
        """Return the blends on which single layers and exchanges are compared."""
        return self._blends(self.table.judging)

    def held_back_batches(self) -> list[Tensor]:
        """Return the blends on which whole candidates are compared."""
        count = len(self._choosing)
        if self._recipe.images is None:
            affordable = plan.count_held_back_images(self.pace, self._seconds)
            count = int(self._memory.decide("held back", lambda: min(count, affordable)))
        return self._blends(count)

    def _blends(self, count: int) -> list[Tensor]:
        return blend(spread_batches(self._choosing, count), self._recipe.seed)

    def table_batches(self) -> list[Tensor]:
        """Return training images to round single layers on; none for nearest rounding."""
        return self._rounding_batches(self.table.images)

    def joint_batches(self) -> list[Tensor]:
        """Return training images to round all layers together on; none for nearest rounding."""
        count = self.table.images
        if self._recipe.images is None:
            affordable = plan.count_joint_images(self.pace, self._seconds, count)
            count = int(self._memory.decide("joint images", lambda: affordable))
        return self._rounding_batches(count)

    def _rounding_batches(self, count: int) -> list[Tensor]:
        if not count:
            return []
        recipe = self.images.recipe.model_copy(update={"round_images": count})
        images = CompressionImages(
            recipe, self._card, self.images.dataset, self.images.split, self._device
        )
        return images.learning_batches()

    def describe(self) -> str:
        """Say in a sentence what was measured, once the table is complete."""
        options = sum(len(measured) for measured in self._memory.table.values())
        layers = len(self._memory.table)
        judging = min(self.table.judging, len(self._choosing))
        images = f"by the KL divergence on blends of {judging:,} held-back training images."
        if not self.table.images:
            return (
                f"Estimated {options:,} useful options of {layers} layers from one measurement of"
                f" each layer, {images} More time would measure each option."
            )
        return (
            f"Measured {options:,} useful options of {layers} layers, with compensated rounding on"
            f" {self.table.images:,} training images, {images}"
        )

    def _measure_pace(self, network: nn.Module, names: Sequence[str]) -> plan.SearchPace:
        decide = self._memory.decide
        option = LayerOption(units_of(self._recipe.kinds)[0], _TIMED_NUMBER)
        return plan.SearchPace(
            decide("image seconds", lambda: image_seconds(network, self._choosing)),
            decide("option seconds", lambda: option_seconds(network, names, option)),
            len(names),
        )

    def _plan_table(self) -> plan.TablePlan:
        counts = [len(layer_options(self._recipe.kinds, detail)) for detail in plan.DETAILS]
        made = plan.plan_table(self.pace, self._seconds, counts, self._recipe.images)
        decide = self._memory.decide
        detail = int(decide("detail", lambda: plan.DETAILS.index(made.detail)))
        images = int(decide("images", lambda: made.images))
        judging = int(decide("judging", lambda: made.judging))
        return plan.TablePlan(plan.DETAILS[detail], images, judging)


def spread_batches(images: DeviceImages, count: int) -> list[Tensor]:
    """Return so many of the images, evenly spread over the set, in normalised batches."""
    count = min(count, len(images))
    rows = torch.arange(count) * len(images) // count
    starts = range(0, count, _BATCH)
    return [images.batch(rows[start : start + _BATCH])[0] for start in starts]


def blend(batches: Sequence[Tensor], seed: int) -> list[Tensor]:
    """Blend each image with another one of its batch, by a random weight in [0, 1].

    The images are held back from the search, but mostly not from the training before it. The
    network is sure of them, so that they hardly show a loss of precision. Of blends it is about as
    unsure as of new images. On a ResNet-20 in 84,000 bytes, an epoch of tuning lowered the
    divergence on the images (from 0.0056 to 0.0053 nats), and raised it on blends (from 0.0432 to
    0.0446) and on test images (from 0.0298 to 0.0308).

    Source of the blends: mixup, Zhang et al., arXiv:1710.09412, section 2 with an alpha of 1.
    """
    generator = torch.Generator().manual_seed(seed)
    blends = []
    for batch in batches:
        weights = torch.rand(len(batch), 1, 1, 1, generator=generator).to(batch.device)
        blends.append(torch.lerp(batch.flip(0), batch, weights))
    return blends


@torch.no_grad()
def image_seconds(network: nn.Module, images: DeviceImages) -> float:
    """Time a forward pass, and return its seconds for each image."""
    batch = spread_batches(images, _TIMED_IMAGES)[0]
    network(batch[:8])  # allocates, and chooses kernels
    began = time.perf_counter()
    float(network(batch).sum())  # waits for the device
    return (time.perf_counter() - began) / len(batch)
