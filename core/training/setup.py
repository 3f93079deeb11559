"""Prepares what a training begins with: the network, its images, and the scores of its weights.

The forecasts use the same functions as the training, so that a forecast is about the network that
is then trained.
"""

import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from core.compress.pruning.methods import PRUNING_METHODS
from core.compress.pruning.scoring_images import ScoringImages
from core.compress.pruning.seeds import derived_seed
from core.config import CompressRecipe, Prune, TrainRecipe
from core.data import Dataset
from core.data.batches import DeviceImages, epoch_plan
from core.data.imageset import subset_rows
from core.events import Event, Progress
from core.models import build, check_side
from core.models.card import ModelCard
from core.models.state import unchanged_generator
from core.training import score_memory
from core.training.device import choose_device, prepare_process
from core.training.held_back import TrainingSplit, images_at, split_of_recipe

_SCORING_IMAGES_OF_A_CLASS = 10  # below about 10, accuracy falls; above, it is flat


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global random generator, and restore its state at the end.

    Previews of several people run in threads of one process, so they take turns.
    """
    with unchanged_generator():
        torch.manual_seed(seed)
        yield


def initial_network(recipe: TrainRecipe, dataset: Dataset, device: torch.device) -> nn.Module:
    """Build the recipe's network with its initial weights, which depend on the seed only.

    The global random state is not changed. Raises UserError if the network cannot take the data
    set's images.
    """
    check_side(recipe.model, dataset.side)
    with seeded(recipe.seed):
        model = build(recipe.model, len(dataset.classes))
    return model.to(device).to(memory_format=torch.channels_last)


def reinitialize_(model: nn.Module, recipe: TrainRecipe, dataset: Dataset) -> bool:
    """Draw all weights anew if the recipe's pruning method wants it; mutates the model.

    This is the reinitialization of "Pruning Neural Networks at Initialization" (arXiv:2009.08576).
    The new weights are another draw from the same distribution, which depends on the seed only.
    Returns whether they were drawn.
    """
    if recipe.prune is None or not PRUNING_METHODS[recipe.prune.method].reinitializes:
        return False
    other_seed = derived_seed(recipe.seed, "reinitialization")
    other_recipe = recipe.model_copy(update={"seed": other_seed})
    other = initial_network(other_recipe, dataset, torch.device("cpu"))
    model.load_state_dict(other.state_dict())
    return True


def training_images(
    recipe: TrainRecipe | CompressRecipe,
    dataset: Dataset,
    device: torch.device,
    split: TrainingSplit | None = None,
) -> DeviceImages:
    """Return the images that the recipe trains on, on the device.

    split: says which images are held back. If not given, the recipe says it. Raises UserError if a
    recipe holds back too many.
    """
    if split is None:
        split = split_of_recipe(recipe, dataset)
    rows = split.training
    if recipe.train_images:
        rows = rows[subset_rows(dataset.train.labels[rows], recipe.train_images, recipe.seed)]
    return images_at(rows, dataset, device)


def test_images(dataset: Dataset, device: torch.device) -> DeviceImages:
    """Return the data set's test images, on the device."""
    return DeviceImages(dataset.test, dataset.mean, dataset.std, device, torch.channels_last)


def with_normalisation_of(card: ModelCard, dataset: Dataset) -> Dataset:
    """Return the data set with the normalisation that the card's network was trained with."""
    return replace(dataset, mean=card.mean, std=card.std)


def augments(recipe: TrainRecipe, dataset: Dataset) -> bool:
    """Return whether training crops and flips: as the recipe says, or else as the data set does."""
    return dataset.augment if recipe.augment is None else recipe.augment


def scoring_images(recipe: TrainRecipe, dataset: Dataset, images: DeviceImages) -> ScoringImages:
    """Return the images that the weights are scored on, in the order of the first epoch.

    They have the augmentation of that epoch too, if the recipe wants it.
    """
    prune = _prune_settings(recipe)
    batch_size = prune.batch_size or recipe.batch_size
    batches = prune.batches or _enough_batches(batch_size, len(dataset.classes))
    is_augmented = augments(recipe, dataset) and prune.augment
    order, augmentation = epoch_plan(len(images), recipe.seed, 0, is_augmented)

    def load(start: int, stop: int) -> tuple[Tensor, Tensor]:
        return images.batch(order[start:stop], augmentation)

    per_round = min(len(images), batch_size * batches)
    return ScoringImages(load, len(images), per_round, batch_size)


def _enough_batches(batch_size: int, classes: int) -> int:
    return math.ceil(_SCORING_IMAGES_OF_A_CLASS * classes / batch_size)


def build_and_score(
    recipe: TrainRecipe, dataset: Dataset
) -> Generator[Event, None, tuple[nn.Module, dict[str, Tensor]]]:
    """Build the recipe's network with its initial weights, and score them before any training.

    Yields Progress, the last of it for the sorting that the caller does next. Raises UserError as
    the training would, and ValueError for a recipe that does not prune.
    """
    _prune_settings(recipe)
    yield Progress("Building the network", 0, 0)
    prepare_process()
    device = choose_device(recipe.device)
    model = initial_network(recipe, dataset, device)
    images = training_images(recipe, dataset, device)
    yield Progress("Scoring the weights", 0, 0)
    scores = yield from score_weights(recipe, model, scoring_images(recipe, dataset, images))
    yield Progress("Sorting the scores", 0, 0)
    return model, scores


def score_weights(
    recipe: TrainRecipe, model: nn.Module, images: ScoringImages
) -> Generator[Event, None, dict[str, Tensor]]:
    """Score all prunable weights as the recipe says; yields Progress after every pass.

    The scores are those of `score_memory` if it has them.
    """
    remembered = score_memory.recall(recipe, images)
    if remembered is not None:
        return remembered
    from core.compress import snip
    from core.compress.pruning.saliency import ScoringOptions

    prune = _prune_settings(recipe)
    rounds = snip.scoring_steps(
        prune.method,
        model,
        images,
        density=prune.density,
        layerwise=prune.layerwise,
        rounds=prune.rounds,
        options=ScoringOptions(prune.score_mode, recipe.seed),
    )
    # Dropout draws from the global generator. It is seeded during each pass and restored before
    # each yield, so that the preview and the training draw the same, whatever runs in between.
    random_state = None
    while True:
        with seeded(recipe.seed):
            if random_state is not None:
                torch.set_rng_state(random_state)
            try:
                event = next(rounds)
            except StopIteration as end:
                scores: dict[str, Tensor] = end.value
                score_memory.remember(recipe, images, scores)
                return scores
            random_state = torch.get_rng_state()
        yield event


def _prune_settings(recipe: TrainRecipe) -> Prune:
    if recipe.prune is None:
        raise ValueError("a recipe that prunes nothing has no scores")
    return recipe.prune
