"""What a recipe would cut and how long it would train, found out before anything is trained.

The network, the first batch and the scores come from `core.training.setup`, as in the training itself: what a person
sees here is what gets trained.
"""

import gc
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.config import Prune, TrainRecipe
from core.events import Event, Progress

if TYPE_CHECKING:
    from core.compress.ranking import Ranking
    from core.data import Dataset
    from core.inspect.cost import LayerCost, SizeEstimate

ITERATIVE = ("iterative-snip", "synflow")  # methods whose scores are for one density only
TIMED_STEPS = 3
PROBE = 16  # images of a first small step, which tells whether whole ones fit into the time


@dataclass(frozen=True)
class Layer:
    """A prunable weight by its parameter's name: weights kept and in total, multiply-adds for one image."""

    name: str
    kept: int
    weights: int
    macs: int

    @property
    def density(self) -> float:
        return self.kept / self.weights


@dataclass(frozen=True)
class Cut:
    """A network at one density: its layers in order, multiply-adds left and in total, bytes of a file."""

    layers: list[Layer]
    macs_left: int
    macs: int
    size: "SizeEstimate"

    @property
    def kept(self) -> int:
        return sum(layer.kept for layer in self.layers)

    @property
    def weights(self) -> int:
        return sum(layer.weights for layer in self.layers)

    @property
    def dead(self) -> list[str]:
        """The layers that keep nothing."""
        return [layer.name for layer in self.layers if layer.kept == 0]


@dataclass(frozen=True)
class Preview:
    """The ranking of all prunable weights of a network, what its layers cost, and how many numbers are never pruned."""

    ranking: "Ranking"
    costs: "list[LayerCost]"
    unprunable: int

    def at(self, density: float, layerwise: bool) -> Cut:
        """The network at a density in (0, 1], in milliseconds, with exactly the counts of `masks.keep_top`."""
        from core.inspect.cost import effective_macs, estimated_bytes

        kept, totals = self.ranking.kept(density, layerwise), self.ranking.totals
        macs = {cost.name: cost.macs for cost in self.costs}
        return Cut([Layer(name, kept[name], total, macs[name]) for name, total in totals.items()],
                   effective_macs(self.costs, kept), sum(macs.values()), estimated_bytes(kept, totals, self.unprunable))


@dataclass(frozen=True)
class Pace:
    """Measured training speed, and what follows from it for an epoch with its test, in seconds. About."""

    images_per_second: float
    epoch_seconds: float


def relevant(recipe: TrainRecipe) -> TrainRecipe:
    """The recipe with everything at its default that its scores do not depend on: recipes with the same one share a
    preview. A recipe that prunes nothing has SNIP's."""
    prune = recipe.prune or Prune()
    if prune.method not in ITERATIVE:
        prune = prune.model_copy(update={"density": Prune().density, "layerwise": False, "rounds": None})
    return TrainRecipe(**recipe.model_dump(include={"model", "dataset", "batch_size", "augment", "train_images", "seed",
                                                    "device"}), prune=prune)


def scored(recipe: TrainRecipe, dataset: "Dataset") -> Generator[Event, None, Preview]:
    """Build the recipe's network and score its weights on the first training batch; yields Progress on the way.

    Raises UserError as the training would.
    """
    from core.compress.ranking import rank
    from core.inspect.cost import layer_costs
    from core.training import setup

    model, scores = yield from setup.scored(relevant(recipe), dataset)
    ranking, costs = rank(scores), layer_costs(model, dataset.side)
    numbers = sum(tensor.numel() for tensor in model.state_dict().values())
    return Preview(ranking, [cost for cost in costs if cost.name in ranking.totals],
                   numbers - sum(ranking.totals.values()))


def paced(recipe: TrainRecipe, dataset: "Dataset", limit: float = 4.0) -> Generator[Event, None, Pace]:
    """Take real training steps on a network that is thrown away, for about `limit` seconds at most.

    Where a whole batch would take longer than that, a small one stands for it. Yields Progress between the steps.
    """
    import torch

    from core.training import setup
    from core.training.device import resolve
    from core.training.step import EAGER_STEPS, Stepper, make_optimizer

    device = resolve(recipe.device)
    model = setup.network(recipe, dataset, device).train()
    images = setup.training_images(recipe, dataset, device)
    # A tiny rate: the steps are for the clock, and must not run into numbers that are none.
    step = Stepper(model, make_optimizer(model, 1e-6, recipe.momentum, recipe.weight_decay), recipe.label_smoothing)
    size = min(recipe.batch_size, len(images))

    def timed(count: int) -> float:
        with setup.seeded(recipe.seed):  # for dropout
            began = time.perf_counter()
            step(*images.batch(torch.arange(count)), 1e-6)
            step.read()  # waits for the device
            return time.perf_counter() - began

    began, small = time.perf_counter(), min(size, PROBE)
    timed(small)  # allocates, and chooses kernels
    speed = small / timed(small)
    warm_up = EAGER_STEPS if device.type == "cuda" else 1
    for done in range(warm_up + TIMED_STEPS):
        yield Progress("Timing a few training steps", done, warm_up + TIMED_STEPS, "steps")
        if time.perf_counter() - began + size / speed > limit:
            break
        measured = size / timed(size)
        speed = max(speed, measured) if done > warm_up else measured
    testing = len(dataset.test) / (3 * speed)  # a forward pass is a third of a step
    return Pace(speed, len(images) / speed + testing)


def release() -> None:
    """Give a GPU's memory that previews left in this process's cache back to the ones that train."""
    import torch

    if torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()
