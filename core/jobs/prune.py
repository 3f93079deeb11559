"""Prunes a trained network: at once or little by little, and fine-tunes it if wanted.

One-shot pruning chooses the weights of the finished parent. Gradual pruning (Zhu and Gupta,
arXiv:1710.01878) chooses again and again while the rest is fine-tuned. Rewinding sets the kept
weights back to an early epoch (Frankle et al., arXiv:1912.05671).
"""

import copy
import time
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core import data
from core.accuracy import best_epoch, explain_other_record
from core.compress import codec
from core.compress import masks as masking
from core.compress.packed.ledger import Ledger
from core.compress.pruning.gradual import cubic_density
from core.compress.pruning.trained import density_of
from core.config import PruneRecipe
from core.events import Event, Finished, Note, Progress, Pruned, Summary
from core.jobs.check import check_density_left
from core.jobs.choose_masks import MaskChooser
from core.jobs.compression_images import CompressionImages
from core.jobs.job import kept_figures, restoring, summarize
from core.jobs.pack_and_test import add_recipe
from core.jobs.parent_dataset import load_parent_dataset
from core.jobs.recalibration import recalibrate_
from core.models.card import ModelCard
from core.models.parameters import prunable_weights
from core.models.saved import SavedModel
from core.training.device import choose_device, prepare_process, usual_precision
from core.training.evaluate import (
    Validation,
    evaluate,
    evaluate_with_progress,
    mean_divergence,
)
from core.training.fine_tune import FineTuning
from core.training.held_back import split_for_compression
from core.training.history import History, copied
from core.training.precision import choose_precision


class PruneJob:
    """One run of a PruneRecipe on a trained network; see `core.jobs.job.Job`.

    parent: the trained network. early: its state dict after the epoch that the recipe rewinds to,
    None for a recipe that does not. recorded_accuracy: the test accuracy that the parent's run
    recorded, None if unknown. device: the device that the run uses.

    Raises UserError for what cannot work.
    """

    def __init__(
        self,
        recipe: PruneRecipe,
        parent: SavedModel,
        data_root: Path,
        checkpoint: Mapping[str, Any] | None = None,
        recorded_accuracy: float | None = None,
        early: Mapping[str, Tensor] | None = None,
    ):
        self.recipe = recipe
        self.parent = parent
        self.data_root = data_root
        self.early = early
        self.device = choose_device(recipe.device)
        self.precision = usual_precision(self.device)
        self._recorded_accuracy = recorded_accuracy
        self._saved = checkpoint
        self._parent_accuracy: float | None = None
        self._tuning: FineTuning | None = None
        self._masks: dict[str, Tensor] = {}
        self._state: dict[str, Tensor] = {}  # of the result
        self._packed: tuple[bytes, Ledger] | None = None

    def events(self) -> Generator[Event, None, None]:
        """Test the parent, prune, fine-tune or re-estimate BatchNorm, test and pack.

        Ends with Finished.
        """
        card = self.parent.card
        prepare_process()
        yield from data.prepare(card.dataset, self.data_root)
        dataset = load_parent_dataset(card, self.data_root)
        split = split_for_compression(card, self.recipe, dataset)
        images = CompressionImages(self.recipe, card, dataset, split, self.device)
        parent = self.parent.network().to(self.device).to(memory_format=torch.channels_last)
        network = copy.deepcopy(parent)
        chooser = MaskChooser(self.recipe, network, images)
        check_density_left(self.recipe.density, chooser.first_density)
        yield Note(f"{card.model} on {card.dataset}: pruning a trained network, on {self.device}.")
        yield from self._test_parent(parent, images)
        if self.recipe.epochs:
            accuracy = yield from self._fine_tune(chooser, network, parent, images)
        else:
            yield from self._prune(chooser, self.recipe.density)
            self._masks = chooser.masks
            note = yield from recalibrate_(network, parent, images, self.recipe.recalibrate)
            if note:
                yield Note(note)
            _, accuracy = yield from evaluate_with_progress(
                network, images.test, "Testing the pruned network"
            )
            self._state = copied(network.state_dict())
        yield Progress("Packing the network", 0, 0)
        self._packed = codec.pack(self._state, self.card())
        network.load_state_dict(self._state)
        yield Finished(self._summary(network, accuracy, len(images.test)))

    def _test_parent(self, parent: nn.Module, images: CompressionImages) -> Iterator[Event]:
        if self._saved is not None:
            self._parent_accuracy = self._saved["parent_accuracy"]
            return
        _, self._parent_accuracy = yield from evaluate_with_progress(
            parent, images.test, "Testing the network before pruning"
        )
        difference = explain_other_record(self._parent_accuracy, self._recorded_accuracy)
        if difference:
            yield Note(difference, level="warning")

    def _prune(self, chooser: MaskChooser, density: float) -> Iterator[Event]:
        """Choose the masks, and set the weights outside them to 0."""
        yield from chooser.prune_(density)
        for name in masking.dead_layers(chooser.masks):
            yield Note(
                f"{name} keeps no weight, so nothing but its bias passes this layer. A higher"
                " density or other layer densities avoid that.",
                "warning",
            )
        counts = masking.counts(chooser.masks)
        yield Pruned(
            kept=sum(kept for kept, _ in counts.values()),
            prunable=sum(total for _, total in counts.values()),
            layers={name: list(pair) for name, pair in counts.items()},
        )

    def _fine_tune(
        self,
        chooser: MaskChooser,
        network: nn.Module,
        parent: nn.Module,
        images: CompressionImages,
    ) -> Generator[Event, None, float]:
        """Prune and fine-tune `network`; return the test accuracy of the best epoch."""
        recipe = self.recipe
        if self._saved is None:
            torch.manual_seed(recipe.seed)  # only dropout draws from this generator
            if not recipe.gradual:
                yield from self._prune(chooser, recipe.density)
            if self.early is not None:
                network.load_state_dict(dict(self.early))
                yield Note(f"The kept weights are those of epoch {recipe.rewind} again.")
            chosen = yield from choose_precision(recipe, network, images.tuning())
            self.precision = chosen.precision
            if chosen.reason:
                yield Note(chosen.reason)
        else:
            self.precision = self._saved["precision"]
        teacher = parent if recipe.teacher == "parent" else None
        tuning = FineTuning(
            recipe, network, teacher, images.tuning(), images.augment, self.precision
        )
        if self._saved is None:
            tuning.apply_masks(chooser.masks)
        else:
            with restoring():
                tuning.restore(self._saved)
            yield Note(
                f"Continued in epoch {tuning.loop.epoch}, after {tuning.loop.batches_done:,}"
                " batches."
            )
        self._tuning = tuning
        while not tuning.loop.finished:
            yield from self._train_epoch(tuning, chooser)
            yield self._end_epoch(tuning, parent, images)
        self._masks = tuning.masks
        history = tuning.loop.history
        self._state = history.best
        best = best_epoch(history.rows)
        yield Note(f"The result is epoch {best['epoch']}. {_describe_choice(images)}")
        return float(best["test_accuracy"])

    def _train_epoch(self, tuning: FineTuning, chooser: MaskChooser) -> Iterator[Event]:
        """Take the steps of an epoch, and prune after those of the schedule."""
        while True:
            yield from tuning.train()
            if not tuning.is_pruning_due:
                return
            prunings = len(tuning.pruning_steps)
            fraction = (tuning.prunings + 1) / prunings
            density = cubic_density(chooser.first_density, self.recipe.density, fraction)
            if fraction == 1:
                yield from self._prune(chooser, density)
            else:
                yield from chooser.prune_(density)
            tuning.apply_masks(chooser.masks)
            tuning.prunings += 1

    def _end_epoch(self, tuning: FineTuning, parent: nn.Module, images: CompressionImages) -> Event:
        """Test the network of this epoch, and validate it on images that were held back."""
        began = time.perf_counter()
        network = tuning.network
        loss, accuracy = evaluate(network, images.test)
        validation = None
        if len(images.held_back):
            validation = Validation(*evaluate(network, images.held_back))
            if self.recipe.teacher == "parent":
                divergence = mean_divergence(network, parent, images.held_back)
                validation = Validation(validation.loss, validation.accuracy, divergence)
        density = density_of(prunable_weights(network)) if tuning.pruning_steps else None
        seconds = time.perf_counter() - began
        state = network.state_dict()
        return tuning.loop.end_epoch(loss, accuracy, seconds, state, validation, density)

    def checkpoint(self) -> dict[str, Any] | None:
        """Return all that is needed to continue from here, or None before the first step.

        Raises UserError if the loss is NaN or infinite.
        """
        if self._tuning is None or not self._tuning.loop.started:
            return None
        return {
            **self._tuning.checkpoint(),
            "parent_accuracy": self._parent_accuracy,
            "precision": self.precision,
        }

    def result(self) -> dict[str, dict[str, Tensor]]:
        """Return the pruned network and its masks; empty before it is known."""
        return {"model": self._state, "masks": self._masks} if self._state else {}

    def card(self) -> ModelCard:
        """Return what a reader of the weights must know: the parent's card, and this recipe."""
        return add_recipe(self.parent.card, self.recipe)

    def files(self) -> dict[str, bytes]:
        """Return the packed file; empty before it exists."""
        if self._packed is None:
            return {}
        content, _ = self._packed
        return {"packed.secateur": content}

    def _summary(self, network: nn.Module, accuracy: float, test_images: int) -> Summary:
        assert self._packed is not None
        _, ledger = self._packed
        history = self._tuning.loop.history if self._tuning is not None else History()
        return summarize(
            self.card(),
            self.device,
            history,
            **kept_figures(network),
            test_accuracy=accuracy,
            test_images=test_images,
            parent_accuracy=self._parent_accuracy,
            precision=self.precision,
            float_bytes=ledger.float_bytes,
            packed_bytes=ledger.total,
        )


def _describe_choice(images: CompressionImages) -> str:
    """Say by what the best epoch is chosen."""
    if not len(images.held_back):
        return "No training images were held back, so the test images chose it."
    return f"{len(images.held_back):,} training images that were held back chose it."
