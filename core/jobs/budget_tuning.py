"""Tunes a candidate of a budget run, with the float network as its teacher."""

import math
import time
from collections.abc import Generator, Mapping
from typing import Any

from core.config import BudgetRecipe, KMeansRecipe
from core.events import Event
from core.jobs.budget_candidates import CandidateMaker, quantized_items
from core.jobs.compression_images import CompressionImages
from core.search.joint import key_of
from core.search.memory import PackedCandidate
from core.training.distill import Tuning
from core.training.evaluate import Validation


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
        keys = [key_of(start.choices, f"tuned {epoch}/{epochs} ") for epoch in _counted(epochs)]
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
        self._key = keys[-1]
        self._tuning = tuning
        loop = tuning.loop
        while not loop.finished:
            yield from loop.train_epoch()
            began = time.perf_counter()
            key = keys[loop.epoch - 1]
            network, items = tuning.network()
            made = yield from self._maker.add(key, start.choices, network, items, loop.epoch)
            judged = Validation(math.nan, math.nan, made.divergence)
            seconds = time.perf_counter() - began
            loop.end_epoch(math.nan, math.nan, seconds, {}, judged)
        self._count(tuning)
        self._tuning = None
        return [known[key] for key in keys]

    def _count(self, tuning: Tuning) -> None:
        """Add the time and the images of a tuning to those of the run."""
        decisions = self._maker.memory.decisions
        rows = tuning.loop.history.rows
        seconds = decisions.get("tuning seconds", 0.0)
        tuned_images = decisions.get("tuned images", 0.0)
        decisions["tuning seconds"] = seconds + tuning.loop.history.train_seconds
        decisions["tuned images"] = tuned_images + sum(row["images"] for row in rows)

    def checkpoint(self) -> dict[str, Any] | None:
        """Return the tuning that is in progress, None if there is none."""
        if self._tuning is None or not self._tuning.loop.started:
            return None
        return {"key": self._key, "tuning": self._tuning.checkpoint()}


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
