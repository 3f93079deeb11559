"""Measures how fast a recipe trains on this machine, by a few real steps."""

import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.config import TrainRecipe
from core.events import Event, Progress

if TYPE_CHECKING:
    from core.data import Dataset
    from core.data.batches import DeviceImages
    from core.training.step import Stepper

TIMED_STEPS = 3
PROBE = 16  # images of the first, small steps, which tell whether whole batches fit into the time

# The steps serve the clock only. At this learning rate the weights stay finite.
_LEARNING_RATE = 1e-6
_PASSES_PER_STEP = 3  # forward passes that take as long as one training step


@dataclass(frozen=True)
class Pace:
    """A measured training speed. Both figures are approximate.

    images_per_second: training images per second.
    epoch_seconds: time of one epoch with its test.
    """

    images_per_second: float
    epoch_seconds: float


def measure_pace(
    recipe: TrainRecipe, dataset: "Dataset", limit: float = 4.0
) -> Generator[Event, None, Pace]:
    """Time training steps on a network that is then discarded, for about `limit` seconds at most.

    The steps have the precision that the training will have. If a whole batch would take longer
    than the limit, the speed is that of a small batch. Yields Progress between the steps.
    """
    from core.training import setup
    from core.training.device import choose_device
    from core.training.precision import choose_precision
    from core.training.step import EAGER_STEPS, Stepper, make_optimizer

    device = choose_device(recipe.device)
    model = setup.initial_network(recipe, dataset, device).train()
    images = setup.training_images(recipe, dataset, device)
    optimizer = make_optimizer(model, _LEARNING_RATE, recipe.momentum, recipe.weight_decay)
    batch_size = min(recipe.batch_size, len(images))

    began = time.perf_counter()
    chosen = yield from choose_precision(recipe, model, images, limit / 2)
    stepper = Stepper(model, optimizer, recipe.label_smoothing, precision=chosen.precision)
    probe_size = min(batch_size, PROBE)
    _timed_step(stepper, images, probe_size, recipe.seed)  # allocates, and chooses kernels
    speed = probe_size / _timed_step(stepper, images, probe_size, recipe.seed)

    warm_up = EAGER_STEPS if device.type == "cuda" else 1
    steps = warm_up + TIMED_STEPS
    for done in range(steps):
        yield Progress("Timing a few training steps", done, steps, "steps")
        elapsed = time.perf_counter() - began
        if elapsed + batch_size / speed > limit:
            break
        measured = batch_size / _timed_step(stepper, images, batch_size, recipe.seed)
        speed = max(speed, measured) if done > warm_up else measured
    train_seconds = len(images) / speed
    tested = len(dataset.test) + recipe.validation
    test_seconds = tested / (_PASSES_PER_STEP * speed)
    return Pace(speed, train_seconds + test_seconds)


def _timed_step(stepper: "Stepper", images: "DeviceImages", size: int, seed: int) -> float:
    """Take one step on the first `size` images and return its time in seconds."""
    import torch

    from core.training import setup

    with setup.seeded(seed):  # for dropout
        began = time.perf_counter()
        stepper(*images.batch(torch.arange(size)), _LEARNING_RATE)
        stepper.read()  # waits for the device
        return time.perf_counter() - began
