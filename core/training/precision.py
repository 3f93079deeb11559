"""Chooses between float32 and bfloat16 for the steps of a training on the CPU, by timing both.

Which one is faster depends on the network, the batch and the number of threads. On two cores with
AVX512-BF16 a step of VGG16 was 1.8 times as fast in bfloat16 as in float32, and one of ResNet20
0.3 to 1.6 times as fast.
"""

import copy
import time
from collections.abc import Generator
from dataclasses import dataclass

from torch import nn

from core.config import Precision, PruneRecipe, TrainRecipe
from core.data.batches import DeviceImages
from core.events import Progress
from core.training import setup
from core.training.device import computes_in_bfloat16, usual_precision
from core.training.step import Stepper, make_optimizer

BFLOAT16_MARGIN = 1.2
"""How many times as fast bfloat16 must be to be chosen. Less may be noise, and costs precision."""

# In a shorter training the timing would take longer than it saves.
_FEWEST_STEPS = 50
# A step of fewer seconds is all overhead, which no number format changes.
_SHORTEST_STEP = 0.02
_PROBE = 16  # images of the first steps, which allocate and choose kernels
_ROUNDS = 3  # in each of them both formats take a step on a whole batch
# The steps serve the clock only. At this learning rate the weights stay finite.
_LEARNING_RATE = 1e-6
FittingRecipe = TrainRecipe | PruneRecipe
"""The recipes that train in either format."""

_FORMATS: tuple[Precision, ...] = ("float32", "bfloat16")


@dataclass(frozen=True)
class ChosenPrecision:
    """The precision of a training's steps, and a sentence about it for the log, "" if obvious."""

    precision: Precision
    reason: str = ""


def choose_precision(
    recipe: FittingRecipe, model: nn.Module, images: DeviceImages, limit: float = 10.0
) -> Generator[Progress, None, ChosenPrecision]:
    """Return the precision for training `model` on `images` by the recipe.

    On a CPU that computes in bfloat16, both are timed on a copy of the model, for about `limit`
    seconds at most. The model and the global random state are not changed. Yields Progress between
    the timed steps.
    """
    device = images.device
    if recipe.precision != "auto":
        return ChosenPrecision(recipe.precision, f"Training in {recipe.precision}, as requested.")
    if device.type != "cpu":
        return ChosenPrecision(usual_precision(device))
    steps = recipe.epochs * len(images) // recipe.batch_size
    if steps < _FEWEST_STEPS or not computes_in_bfloat16():
        return ChosenPrecision("float32")
    seconds = yield from _time_both(recipe, model, images, limit)
    return _faster(seconds)


def _faster(seconds: dict[Precision, float]) -> ChosenPrecision:
    """Choose by the time of a step in both formats."""
    ratio = seconds["float32"] / seconds["bfloat16"]
    if seconds["float32"] < _SHORTEST_STEP:
        return ChosenPrecision("float32")
    if ratio >= BFLOAT16_MARGIN:
        return ChosenPrecision(
            "bfloat16", f"Training in bfloat16: {ratio:.1f} times as fast as float32 here."
        )
    return ChosenPrecision(
        "float32", f"Training in float32: bfloat16 is {ratio:.1f} times as fast here."
    )


def _time_both(
    recipe: FittingRecipe, model: nn.Module, images: DeviceImages, limit: float
) -> Generator[Progress, None, dict[Precision, float]]:
    """Return the seconds of the fastest step in each format.

    The steps are of whole batches, unless those of a few images show that there is no time for it.
    """
    began = time.perf_counter()
    steppers = {precision: _stepper(recipe, model, precision) for precision in _FORMATS}
    probe_size = min(_PROBE, recipe.batch_size, len(images))
    batch_size = min(recipe.batch_size, len(images))
    seconds: dict[Precision, float] = {}
    for precision, stepper in steppers.items():
        yield Progress("Comparing float32 with bfloat16", 0, 0)
        _timed_step(stepper, images, probe_size, recipe.seed)
        seconds[precision] = _timed_step(stepper, images, probe_size, recipe.seed)
    round_seconds = sum(seconds.values()) * batch_size / probe_size
    for done in range(_ROUNDS):
        yield Progress("Comparing float32 with bfloat16", done, _ROUNDS, "rounds")
        if time.perf_counter() - began + round_seconds > limit:
            break
        for precision, stepper in steppers.items():
            step_seconds = _timed_step(stepper, images, batch_size, recipe.seed)
            seconds[precision] = min(step_seconds, seconds[precision]) if done else step_seconds
        round_seconds = sum(seconds.values())
    return seconds


def _stepper(recipe: FittingRecipe, model: nn.Module, precision: Precision) -> Stepper:
    """Return what takes steps with a copy of the model."""
    network = copy.deepcopy(model).train()
    optimizer = make_optimizer(network, _LEARNING_RATE, recipe.momentum, recipe.weight_decay)
    return Stepper(network, optimizer, precision=precision)


def _timed_step(stepper: Stepper, images: DeviceImages, size: int, seed: int) -> float:
    """Take one step on the first `size` images and return its time in seconds."""
    with setup.seeded(seed):  # for dropout
        batch, labels = images.batch(slice(0, size))
        began = time.perf_counter()
        stepper(batch, labels, _LEARNING_RATE)
        stepper.read()
        return time.perf_counter() - began
