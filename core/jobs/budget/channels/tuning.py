"""Tunes a network without some of its channels, with the float network as its teacher."""

import copy
import math
import time
from collections.abc import Generator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from core.config import BudgetRecipe, Precision, PruneRecipe, TrainedMethod
from core.data.batches import DeviceImages
from core.events import Event
from core.jobs.budget.channels.thinned import Judge
from core.training.evaluate import Validation
from core.training.fine_tune import FineTuning
from core.training.history import History

TUNING_SHARE = 0.5
"""The part of the minutes that is left to tuning, and that it has even if a search took longer.

Without whole channels a network is nearly guessing until it is tuned.
"""

_SCORING_IMAGES = 512


class ChannelTuning:
    """The tuning of a network whose removed channels stay away.

    recipe: the result of `pruning_recipe`. network: it is copied. judge: has the teacher, and
    compares the answers after each epoch.
    """

    def __init__(
        self,
        recipe: PruneRecipe,
        network: nn.Module,
        judge: Judge,
        images: DeviceImages,
        augment: bool,
        precision: Precision,
    ):
        self._judge = judge
        self._tuning = FineTuning(
            recipe, copy.deepcopy(network), judge.network, images, augment, precision
        )
        self._loop = self._tuning.loop

    def begin(self, masks: dict[str, Tensor], seed: int) -> None:
        """Hold these masks from the first step on."""
        torch.manual_seed(seed)  # only dropout draws from this generator
        self._tuning.apply_masks(masks)

    @property
    def is_finished(self) -> bool:
        return self._loop.finished

    @property
    def network(self) -> nn.Module:
        """The network as it is now."""
        return self._tuning.network

    @property
    def history(self) -> History:
        """The finished epochs, of which the one of least divergence is the best."""
        return self._loop.history

    def train_epoch(self) -> Generator[Event, None, float]:
        """Train to the end of the epoch, and return the divergence of the network, in nats."""
        yield from self._tuning.train()
        began = time.perf_counter()
        network = self.network.eval()
        divergence = self._judge.divergence(network)
        judged = Validation(math.nan, math.nan, divergence)
        seconds = time.perf_counter() - began
        self._loop.end_epoch(math.nan, math.nan, seconds, network.state_dict(), judged)
        return divergence

    def checkpoint(self) -> dict[str, Any] | None:
        """Return all that `restore` needs, None before the first step."""
        return self._tuning.checkpoint() if self._loop.started else None

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Continue from what `checkpoint` returned."""
        self._tuning.restore(saved)


def pruning_recipe(
    recipe: BudgetRecipe,
    method: TrainedMethod = "channel-snip",
    epochs: int = 0,
    train_images: int | None = None,
) -> PruneRecipe:
    """Return a pruning with the settings of a budget. train_images: of an epoch, None for all."""
    return PruneRecipe(
        method=method,
        images=_SCORING_IMAGES,
        epochs=epochs,
        lr=recipe.lr,
        batch_size=recipe.batch_size,
        train_images=train_images,
        seed=recipe.seed,
    )


def describe_short_tuning(images: int | None) -> str:
    """Say that the minutes were too few. images: to tune on, None if there is no time for any."""
    done = "not tuned" if images is None else f"tuned on {images:,} images only, less than an epoch"
    return f"For lack of time, the network is {done}. With more minutes it answers better."
