"""Trains a pruned or dense network.

Nothing that happens depends on when it happens, see `core.training.epoch`. So a checkpoint is the
weights, the momentum and a position, and a resumed run ends in the weights of an uninterrupted run.
"""

import time
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core import data
from core.compress import codec
from core.compress import masks as masking
from core.compress.packed.ledger import Ledger
from core.compress.pruning.methods import PRUNING_METHODS, has_groups
from core.compress.pruning.scoring_images import ScoringImages
from core.config import Prune, TrainRecipe
from core.data import Dataset
from core.data.batches import DeviceImages
from core.events import EpochEnd, Event, Finished, Note, Progress, Pruned, Summary
from core.forecast import paths
from core.jobs.job import restoring, summarize
from core.models.card import ModelCard
from core.models.parameters import prunable_weights
from core.training import setup
from core.training.device import prepare_process, usual_precision
from core.training.epoch import EpochLoop
from core.training.evaluate import Validation, evaluate
from core.training.held_back import images_at, split_of_recipe
from core.training.history import copied
from core.training.precision import choose_precision
from core.training.random_state import random_state, restore_random_state
from core.training.ranks.alone import Alone
from core.training.ranks.process_group import ProcessGroup
from core.training.step import Stepper, make_optimizer


class TrainJob:
    """One run of a TrainRecipe; see `core.jobs.job.Job`.

    device: the device that the run uses.
    dataset, model: set by `events`, with the data set and the network of the recipe.
    masks: which weights are kept, by parameter name; empty for a dense network.
    precision: that of the steps, chosen before the first of them and kept by a resumed run.
    ranks: the processes that train together. Rank 0 does what `events` says; the others `follow`.

    Raises UserError for what cannot work: an unknown name, a missing device, a NaN loss.
    """

    dataset: Dataset
    model: nn.Module

    def __init__(
        self,
        recipe: TrainRecipe,
        data_root: Path,
        checkpoint: Mapping[str, Any] | None = None,
        ranks: Alone | None = None,
    ):
        self.recipe = recipe
        self.data_root = data_root
        self.ranks = ranks or Alone()
        self.device = self.ranks.device(recipe.device)
        self.masks: dict[str, Tensor] = {}
        self.precision = usual_precision(self.device)
        self._saved = checkpoint
        self._loop: EpochLoop | None = None
        self._before_first_step = False
        self._packed: tuple[bytes, Ledger] | None = None

    def events(self) -> Generator[Event, None, None]:
        """Prepare the data, score and prune the weights, and train; ends with Finished."""
        recipe = self.recipe
        prepare_process()
        yield from data.prepare(recipe.dataset, self.data_root)
        self.dataset = data.load(recipe.dataset, self.data_root)
        self.model = setup.initial_network(recipe, self.dataset, self.device)
        split = split_of_recipe(recipe, self.dataset)
        images = setup.training_images(recipe, self.dataset, self.device, split)
        held_back = images_at(split.held_back, self.dataset, self.device)
        test_images = setup.test_images(self.dataset, self.device)
        validation = f" and {len(held_back):,} validation images" if len(held_back) else ""
        yield Note(
            f"{recipe.model} on {recipe.dataset} with {len(images):,} training images{validation},"
            f" on {self.device}."
        )
        if self._saved is None:
            torch.manual_seed(recipe.seed)  # only dropout draws from this generator
            yield from self._prune(images)
            yield from self._choose_precision(images)
        else:
            self.precision = self._saved.get("precision", self.precision)
        loop = self._make_loop(images)
        self._loop = loop
        if self._saved is None:
            yield from self._offer_initial()
            masking.apply_(self.model, self.masks)
        else:
            with restoring():
                self._restore(loop, self._saved)
            yield Note(f"Continued in epoch {loop.epoch}, after {loop.batches_done:,} batches.")
        yield from self._join_ranks(loop)
        self.model.train()
        while not loop.finished:
            yield from loop.train_epoch()
            if loop.stepper.capture_error and loop.epoch == 1:
                yield Note(
                    f"CUDA could not capture the step ({loop.stepper.capture_error}); training goes"
                    " on eagerly."
                )
            yield self._end_epoch(loop, test_images, held_back)
        yield Progress("Packing the network", 0, 0)
        content, ledger = codec.pack(self.model.state_dict(), self.card())
        self._packed = content, ledger
        yield Finished(self._summary(loop, ledger))

    def _join_ranks(self, loop: EpochLoop) -> Iterator[Event]:
        """Let the other processes begin with this one's state. Nothing happens without them."""
        self.ranks.share_state(self._state(loop))
        local = self.ranks.join_(self.model)
        if self.ranks.count > 1:
            yield Note(
                f"{self.ranks.count} processes train together, each on its share of every batch."
                " The first one alone tests the network."
            )
        if local:
            yield Note(
                f"{', '.join(local)} cannot use the statistics of the whole batch, but those of a"
                " share of it. So the result differs from that of one process.",
                "warning",
            )

    def follow(self, ranks: ProcessGroup) -> None:
        """Take part in every step of another process, which runs `events`, until it ends."""
        prepare_process()
        state = ranks.receive_state()
        if state is None:
            return
        # The other process has prepared the data set by now.
        self.dataset = data.load(self.recipe.dataset, self.data_root)
        self.model = setup.initial_network(self.recipe, self.dataset, self.device)
        images = setup.training_images(self.recipe, self.dataset, self.device)
        self.precision = state["precision"]
        loop = self._make_loop(images)
        self._loop = loop
        self._restore(loop, state)
        ranks.join_(self.model)
        self.model.train()
        loop.follow(ranks)

    def _prune(self, images: DeviceImages) -> Iterator[Event]:
        """Choose the masks, unless the network is to be dense."""
        if self.recipe.prune is None:
            return
        scoring_images = setup.scoring_images(self.recipe, self.dataset, images)
        yield Note(_describe_scoring(self.recipe.prune, scoring_images))
        yield Progress("Scoring the weights", 0, 0)
        scores = yield from setup.score_weights(self.recipe, self.model, scoring_images)
        prune = self.recipe.prune
        self.masks = masking.keep_top(scores, prune.density, prune.layerwise, prune.pattern)
        yield from _describe_pattern(prune.pattern, scores)
        for name in masking.dead_layers(self.masks):
            yield Note(
                f"{name} keeps no weight, so nothing but its bias passes this layer. A higher"
                " density, layerwise pruning or SynFlow avoids that.",
                "warning",
            )
        yield from self._follow_paths()
        if setup.reinitialize_(self.model, self.recipe, self.dataset):
            yield Note("All weights are drawn anew. The mask stays.")
        counts = masking.counts(self.masks)
        yield Pruned(
            kept=sum(kept for kept, _ in counts.values()),
            prunable=sum(total for _, total in counts.values()),
            layers={name: list(pair) for name, pair in counts.items()},
        )

    def _follow_paths(self) -> Iterator[Event]:
        """Say which share of the kept weights can still matter, if not all of them can."""
        if sum(mask.numel() for mask in self.masks.values()) > paths.MOST_WEIGHTS:
            return
        live = paths.live_share(self.model, self.masks, self.dataset.side)
        if live.share < 1:
            yield Note(_describe_paths(live), "warning" if live.is_low else "info")

    def _choose_precision(self, images: DeviceImages) -> Iterator[Event]:
        """Choose the precision of the steps, which changes neither weights nor random state."""
        chosen = yield from choose_precision(self.recipe, self.model, images)
        self.precision = chosen.precision
        if chosen.reason:
            yield Note(chosen.reason)

    def _offer_initial(self) -> Iterator[Event]:
        """Yield an event at which `initial` returns the weights, without a copy of them."""
        self._before_first_step = True
        yield Progress("Starting the training", 0, 0)
        self._before_first_step = False

    def _make_loop(self, images: DeviceImages) -> EpochLoop:
        recipe = self.recipe
        optimizer = make_optimizer(self.model, recipe.lr, recipe.momentum, recipe.weight_decay)
        stepper = Stepper(
            self.model,
            optimizer,
            recipe.label_smoothing,
            precision=self.precision,
            ranks=self.ranks,
        )
        return EpochLoop(recipe, stepper, images, setup.augments(recipe, self.dataset), "Epoch")

    def _end_epoch(
        self, loop: EpochLoop, test_images: DeviceImages, held_back: DeviceImages
    ) -> EpochEnd:
        """Test and validate the network. `held_back` may be empty."""
        began = time.perf_counter()
        loss, accuracy = evaluate(self.model, test_images)
        validation = Validation(*evaluate(self.model, held_back)) if len(held_back) else None
        test_seconds = time.perf_counter() - began
        return loop.end_epoch(loss, accuracy, test_seconds, self.model.state_dict(), validation)

    def checkpoint(self) -> dict[str, Any] | None:
        """Return all that is needed to continue from here, or None before the first step.

        Raises UserError if the loss is NaN or infinite.
        """
        if self._loop is None or not self._loop.started:
            return None
        return self._state(self._loop)

    def _state(self, loop: EpochLoop) -> dict[str, Any]:
        return {
            **loop.checkpoint(),
            "model": self.model.state_dict(),
            "masks": self.masks,
            "precision": self.precision,
            **random_state(self.device),
        }

    def _restore(self, loop: EpochLoop, saved: Mapping[str, Any]) -> None:
        self.masks = {name: mask.to(self.device) for name, mask in saved["masks"].items()}
        masking.apply_(self.model, self.masks)
        self.model.load_state_dict(saved["model"])
        loop.restore(saved)
        restore_random_state(saved, self.device)

    def initial(self) -> dict[str, Tensor]:
        """Return the weights that the training starts from, as drawn, before the mask cuts any.

        Empty except at the event "Starting the training", which a resumed job does not have.
        """
        return self.model.state_dict() if self._before_first_step else {}

    def result(self) -> dict[str, dict[str, Tensor]]:
        """Return the last weights, those of the best epoch, and the masks.

        Empty before the training starts.
        """
        if self._loop is None:
            return {}
        files = {"model": copied(self.model.state_dict())}
        if self._loop.history.best:
            files["best"] = self._loop.history.best
        if self.masks:
            files["masks"] = self.masks
        return files

    def card(self) -> ModelCard:
        """Return what a reader of the weights must know."""
        return ModelCard(
            model=self.recipe.model,
            dataset=self.recipe.dataset,
            classes=self.dataset.classes,
            mean=self.dataset.mean,
            std=self.dataset.std,
            side=self.dataset.side,
            recipes=({**self.recipe.model_dump(mode="json"), "precision": self.precision},),
        )

    def files(self) -> dict[str, bytes]:
        """Return the packed file of the last weights; empty before it exists."""
        if self._packed is None:
            return {}
        content, _ = self._packed
        return {"packed.secateur": content}

    def _summary(self, loop: EpochLoop, ledger: Ledger) -> Summary:
        counts = masking.counts(self.masks)
        prunable = sum(weight.numel() for weight in prunable_weights(self.model).values())
        kept = sum(kept for kept, _ in counts.values()) if counts else prunable
        return summarize(
            self.card(),
            self.device,
            loop.history,
            kept=kept,
            prunable=prunable,
            density=self.recipe.density,
            test_accuracy=loop.history.rows[-1]["test_accuracy"],
            test_images=len(self.dataset.test),
            precision=self.precision,
            float_bytes=ledger.float_bytes,
            packed_bytes=ledger.total,
        )


def _describe_scoring(prune: Prune, images: ScoringImages) -> str:
    """Say what the weights are scored on, and in which mode of the network."""
    facts = PRUNING_METHODS[prune.method]
    rounds = (prune.rounds or facts.default_rounds) if facts.iterative else 1
    in_rounds = f" in {rounds} rounds" if facts.iterative else ""
    if not facts.needs_data:
        return f"Scoring by {prune.method}{in_rounds}, without images."
    mode = "training" if prune.score_mode == "train" else "evaluation"
    each = " each" if facts.iterative else ""
    return (
        f"Scoring by {prune.method}{in_rounds}, on {images.per_round:,} training images{each}, in"
        f" {mode} mode (--scoremode {prune.score_mode})."
    )


def _describe_pattern(pattern: str, weights: dict[str, Tensor]) -> Iterator[Note]:
    """Say which layers a pattern leaves dense, if any. weights: tensors in their shapes."""
    dense = [name for name, weight in weights.items() if not has_groups(weight.shape)]
    if pattern != "free" and dense:
        yield Note(
            f"The pattern {pattern} leaves {', '.join(dense)} dense: its groups need input channels"
            " in multiples of four."
        )


def _describe_paths(live: paths.LiveShare) -> str:
    """Say which share of the kept weights can matter, and which layers are cut off."""
    text = (
        f"{live.share:.2%} of the kept weights can still matter. The others are cut off from the"
        " image or from the outputs."
    )
    if live.cut_layers:
        text += f" Nothing passes {', '.join(live.cut_layers)}."
    return text
