"""Tries a pruning on a page before it runs: what it keeps, and the accuracy at several densities.

Both take the images and the functions of the run. The accuracy is that on training images from
which pruning does not learn, so that what a person chooses by it has not seen the test images.
"""

import copy
from collections.abc import Generator, MutableMapping, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import nn

from core.compress.pruning.methods import scores_on_images
from core.compress.pruning.trained import density_of
from core.config import PruneRecipe
from core.data.batches import DeviceImages
from core.events import Event, Progress
from core.forecast.trained_pruning import ScoredParent, score_parent
from core.jobs.choose_masks import MaskChooser, images_to_score_on
from core.jobs.compression_images import CompressionImages
from core.jobs.parent_dataset import load_parent_dataset
from core.jobs.recalibration import recalibrate_
from core.models.parameters import prunable_weights
from core.models.saved import SavedModel
from core.training.device import choose_device
from core.training.evaluate import evaluate_with_progress
from core.training.held_back import split_for_compression


class TriedDensity(NamedTuple):
    """The accuracy of a network without fine-tuning. images: how many it was measured on."""

    density: float
    accuracy: float
    images: int


def preview_trained_pruning(
    saved: SavedModel, recipe: PruneRecipe, root: Path
) -> Generator[Progress, None, ScoredParent]:
    """Score a network as a run of this recipe would; the data set is read only if it is needed.

    The result serves every density, and all recipes with the same method, images and seed. root:
    the folder of the data sets. Yields Progress. Raises UserError as the run would.
    """
    device = choose_device(recipe.device)
    images = None
    if scores_on_images(recipe.method):
        yield Progress("Reading images", 0, 0)
        images = images_to_score_on(_images_of(saved, recipe, root))
    return (yield from score_parent(saved, recipe, images, device))


def try_densities(
    saved: SavedModel,
    recipe: PruneRecipe,
    root: Path,
    densities: Sequence[float],
    memory: MutableMapping[float, TriedDensity],
) -> Generator[Progress, None, None]:
    """Measure the accuracy at each density, without fine-tuning; `saved` is not changed.

    root: the folder of the data sets. memory: the results by density, which are used and added to
    as soon as they are known, so that a trial can be stopped and continued. The first one is that
    of the network as it is, by its own density. Yields Progress in densities. Raises UserError as
    the run would.
    """
    recipe = recipe.model_copy(update={"epochs": 0, "gradual": 0, "rewind": None})
    images = _images_of(saved, recipe, root)
    parent = saved.network().to(choose_device(recipe.device))
    before = density_of(prunable_weights(parent))
    missing = [one for one in (before, *densities) if one not in memory]
    choosing = images.choosing()
    for done, density in enumerate(missing):
        steps = _tried(parent, recipe, density, images, choosing, is_pruned=density < before)
        label = f"{density:.3%}".rstrip("0%").rstrip(".") + "% kept"
        memory[density] = yield from _counted(steps, label, done, len(missing))


def _tried(
    parent: nn.Module,
    recipe: PruneRecipe,
    density: float,
    images: CompressionImages,
    choosing: DeviceImages,
    *,
    is_pruned: bool,
) -> Generator[Event, None, TriedDensity]:
    """Prune a copy of the network, re-estimate BatchNorm as the run does, and test it."""
    network = parent
    if is_pruned:
        network = copy.deepcopy(parent)
        yield from MaskChooser(recipe, network, images).prune_(density)
        yield from recalibrate_(network, parent, images, recipe.recalibrate)
    _, accuracy = yield from evaluate_with_progress(network, choosing, "Testing")
    return TriedDensity(density, accuracy, len(choosing))


def _counted(
    events: Generator[Event, None, TriedDensity], label: str, done: int, total: int
) -> Generator[Progress, None, TriedDensity]:
    """Run the events of one density. Each Progress becomes one of all densities."""
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            result: TriedDensity = end.value
            return result
        if isinstance(event, Progress):
            yield Progress(f"{label}, {event.stage.lower()}", done, total, "densities")


def _images_of(saved: SavedModel, recipe: PruneRecipe, root: Path) -> CompressionImages:
    dataset = load_parent_dataset(saved.card, root)
    split = split_for_compression(saved.card, recipe, dataset)
    device = choose_device(recipe.device)
    return CompressionImages(recipe, saved.card, dataset, split, device)
