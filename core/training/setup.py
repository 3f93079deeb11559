"""What a run begins with: the network, the first batch, its scores. The preview and the training share it, so that
what a person saw is what gets trained."""

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from core.config import TrainRecipe
from core.data import Dataset, subset
from core.data.batches import DeviceImages, epoch_plan
from core.events import Event, Progress
from core.models import build, check
from core.training.device import prepare_process, resolve

_drawing = threading.Lock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from torch's global generator, seeded, and leave it as it was.

    There is one for the whole process: previews of several people, each in a thread of its own, take turns.
    """
    with _drawing, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def network(recipe: TrainRecipe, dataset: Dataset, device: torch.device) -> nn.Module:
    """The network at its initial weights: the same for a seed on every device. Global random state is left alone.

    Raises UserError if the network cannot take the data set's images.
    """
    check(recipe.model, dataset.side)
    with seeded(recipe.seed):
        model = build(recipe.model, len(dataset.classes))
    return model.to(device, memory_format=torch.channels_last)


def training_images(recipe: TrainRecipe, dataset: Dataset, device: torch.device) -> DeviceImages:
    """The images that the recipe trains on, on the device."""
    images = dataset.train
    if recipe.train_images and recipe.train_images < len(images.labels):
        images = subset(images, recipe.train_images, recipe.seed)
    return DeviceImages(images, dataset.mean, dataset.std, device, torch.channels_last)


def augments(recipe: TrainRecipe, dataset: Dataset) -> bool:
    """Whether training crops and flips: as the recipe says, else as the data set does."""
    return dataset.augment if recipe.augment is None else recipe.augment


def in_batches(order: Tensor, size: int) -> list[Tensor]:
    """The order in batches. A last batch of one image is left out: BatchNorm cannot learn from it."""
    batches = list(order.split(size))
    return batches[:-1] if len(batches) > 1 and len(batches[-1]) == 1 else batches


def scoring_batch(recipe: TrainRecipe, dataset: Dataset, images: DeviceImages) -> tuple[Tensor, Tensor, int]:
    """The first images that training will see, as it will see them, their labels, and the size of a batch."""
    size = recipe.prune.batch_size or recipe.batch_size
    order, augmentation = epoch_plan(len(images), recipe.seed, 0, augments(recipe, dataset))
    count = min(len(images), size * recipe.prune.batches)
    return *images.batch(order[:count], augmentation), size


def scored(recipe: TrainRecipe, dataset: Dataset) -> Generator[Event, None, tuple[nn.Module, dict[str, Tensor]]]:
    """The recipe's network at its initial weights, and its scores on the first training batch, before any training.

    Yields Progress on the way, to the sorting that comes next. Raises UserError as the training would.
    """
    yield Progress("Building the network", 0, 0)
    prepare_process()
    device = resolve(recipe.device)
    model = network(recipe, dataset, device)
    images = training_images(recipe, dataset, device)
    yield Progress("Scoring the weights", 0, 0)
    scores = yield from scoring(recipe, model, *scoring_batch(recipe, dataset, images))
    yield Progress("Sorting the scores", 0, 0)
    return model, scores


def scoring(recipe: TrainRecipe, model: nn.Module, batch: Tensor, labels: Tensor, size: int
            ) -> Generator[Event, None, dict[str, Tensor]]:
    """The recipe's scores of all prunable weights; yields Progress between rounds, returns the scores."""
    from core.compress import snip

    prune = recipe.prune
    rounds = snip.scoring(prune.method, model, batch, labels, density=prune.density, layerwise=prune.layerwise,
                          batch_size=size, rounds=prune.rounds, seed=recipe.seed)
    state = None
    while True:
        with seeded(recipe.seed):  # dropout draws from it: the preview and the training alike
            if state is not None:
                torch.set_rng_state(state)
            try:
                event = next(rounds)
            except StopIteration as end:
                return end.value
            state = torch.get_rng_state()
        yield event
