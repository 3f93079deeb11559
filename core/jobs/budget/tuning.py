"""Tunes a candidate of a budget run, with the float network as its teacher."""

import math
import time
from collections.abc import Generator, Mapping
from typing import Any

from core.config import BudgetRecipe, KMeansRecipe
from core.events import Event
from core.jobs.budget.candidates import CandidateMaker, quantized_items
from core.jobs.compression_images import CompressionImages
from core.search.joint import choices_key
from core.search.memory import Memory, PackedCandidate
from core.training.distill import Tuning
from core.training.evaluate import Validation

_SECONDS = "seconds of "
_IMAGES = "images of "
"""What the decisions of an epoch of tuning begin with. The key of its candidate follows."""


class CandidateTuner:
    """Tunes candidates, one after the other, and makes a candidate after each epoch.

    saved: the tuning that was stopped, as `checkpoint` returned it; None if none was.
    """

    def __init__(
        self, maker: CandidateMaker, images: CompressionImages, saved: Mapping[str, Any] | None
    ):
        self._maker = maker
        self._images = images
        self._saved = saved
        self._key = ""
        self._tuning: Tuning | None = None

    def tune(
        self, start: PackedCandidate, epochs: int, train_images: int | None
    ) -> Generator[Event, None, list[PackedCandidate]]:
        """Tune a candidate, and return those after each epoch.

        train_images: images of an epoch, None for all.
        """
        recipe = tuning_recipe(self._maker.recipe, epochs, train_images)
        keys = [
            choices_key(start.choices, f"tuned {epoch}/{epochs} ") for epoch in _counted(epochs)
        ]
        known = self._maker.memory.candidates
        if keys[-1] in known:
            return [known[key] for key in keys]
        images = CompressionImages(
            recipe,
            self._maker.parent.card,
            self._images.dataset,
            self._images.split,
            self._maker.device,
        )
        tuning = Tuning(
            recipe,
            self._maker.network,
            quantized_items(start),
            images.tuning(),
            images.augment,
            tune_all=True,
        )
        if self._saved is not None and self._saved["key"] == keys[-1]:
            tuning.restore(self._saved["tuning"])
            self._saved = None
        self._key = keys[-1]
        self._tuning = tuning
        loop = tuning.loop
        while not loop.finished:
            yield from loop.train_epoch()
            began = time.perf_counter()
            key = keys[loop.epoch - 1]
            self._count(key, loop.seconds, loop.images_done)
            network, items = tuning.network()
            made = yield from self._maker.add(key, start.choices, network, items, loop.epoch)
            judged = Validation(math.nan, math.nan, made.divergence)
            seconds = time.perf_counter() - began
            loop.end_epoch(math.nan, math.nan, seconds, {}, judged)
        self._tuning = None
        return [known[key] for key in keys]

    def _count(self, key: str, seconds: float, images: int) -> None:
        """Record the time and the images of an epoch.

        It is done before the candidate of the epoch is known, because a run that stops right after
        that does not come back to the epoch. The key counts an epoch that is repeated only once.
        """
        decisions = self._maker.memory.decisions
        decisions[f"{_SECONDS}{key}"] = seconds
        decisions[f"{_IMAGES}{key}"] = images

    def checkpoint(self) -> dict[str, Any] | None:
        """Return the tuning that is in progress, or else the saved one if it is still to come."""
        if self._tuning is None or not self._tuning.loop.started:
            return None if self._saved is None else dict(self._saved)
        return {"key": self._key, "tuning": self._tuning.checkpoint()}


def tuning_totals(memory: Memory) -> tuple[float, float]:
    """Return the time of all steps of tuning, in seconds, and the number of their images."""
    decisions = memory.decisions.items()
    seconds = sum(number for name, number in decisions if name.startswith(_SECONDS))
    images = sum(number for name, number in decisions if name.startswith(_IMAGES))
    return seconds, images


def tuning_recipe(recipe: BudgetRecipe, epochs: int, train_images: int | None) -> KMeansRecipe:
    """Return a recipe with these settings of the tuning, whatever is tuned."""
    return KMeansRecipe(
        epochs=epochs,
        lr=recipe.lr,
        batch_size=recipe.batch_size,
        train_images=train_images,
        seed=recipe.seed,
    )


def _counted(epochs: int) -> range:
    return range(1, epochs + 1)
