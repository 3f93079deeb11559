"""Quantizes a trained network, by k-means or to a few bits, packs it and tests the packed file."""

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core import data
from core.accuracy import explain_other_record
from core.compress.affine import QuantizedWeight
from core.compress.codec import Packed
from core.compress.packed.writer import coded_bytes
from core.compress.quantization.layers import chosen_layers
from core.compress.rounding.layer import RoundedLayer
from core.config import AffineRecipe, KMeansRecipe
from core.data import Dataset
from core.events import Event, Finished, Note, Progress, Quantized, QuantizedLayer, Summary
from core.forecast.quantization import count_levels, count_pinned_zeros, snr_if_lossy
from core.jobs.compression_images import CompressionImages
from core.jobs.job import restoring, summarize
from core.jobs.pack_and_test import PackedResult, Packer, add_recipe
from core.jobs.parent_dataset import load_parent_dataset
from core.jobs.round_weights import WeightQuantizer
from core.models.card import ModelCard
from core.models.parameters import prunable_weights
from core.models.saved import SavedModel
from core.training.device import choose_device, prepare_process
from core.training.distill import Tuning
from core.training.evaluate import (
    Validation,
    evaluate,
    evaluate_with_progress,
    mean_divergence,
)
from core.training.held_back import TrainingSplit, split_for_compression
from core.training.history import History


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A network that the run may end with.

    epoch: of tuning after which it was packed, 0 before the first. divergence: from the float
    network on the held-back images, in nats; None if there are none.
    """

    epoch: int
    divergence: float | None
    packed: PackedResult


class QuantizeJob:
    """One run of a KMeansRecipe or an AffineRecipe on a trained network; see `core.jobs.job.Job`.

    parent: the trained network.
    packed: its packed file if it is quantized itself; rounding to bits on top of k-means then
    rounds the centroids.
    recorded_accuracy: the test accuracy that the parent's run recorded, None if unknown.
    device: the device that the run uses.

    Raises UserError for what cannot work.
    """

    def __init__(
        self,
        recipe: KMeansRecipe | AffineRecipe,
        parent: SavedModel,
        packed: Packed | None,
        data_root: Path,
        checkpoint: Mapping[str, Any] | None = None,
        recorded_accuracy: float | None = None,
    ):
        self.recipe = recipe
        self.parent = parent
        self.data_root = data_root
        self.device = choose_device(recipe.device)
        self._parent_items: Mapping[str, Tensor | QuantizedWeight] = (
            packed.tensors if packed else {}
        )
        self._parent_accuracy: float | None = None
        self._recorded_accuracy = recorded_accuracy
        self._saved = checkpoint
        self._tuning: Tuning | None = None
        self._held_back = 0  # images
        self._chosen: _Candidate | None = None

    def events(self) -> Generator[Event, None, None]:
        """Test the parent, quantize, tune, re-estimate BatchNorm, pack and test.

        Ends with Finished.
        """
        card = self.parent.card
        prepare_process()
        yield from data.prepare(card.dataset, self.data_root)
        dataset = load_parent_dataset(card, self.data_root)
        images = CompressionImages(self.recipe, card, dataset, self._split(dataset), self.device)
        packer = Packer(self.recipe, self.parent, self._parent_items, images, self.device)
        network = self.parent.network().to(self.device)
        network = network.to(memory_format=torch.channels_last)
        names = chosen_layers(card, self.recipe)
        quantizer = WeightQuantizer(self.recipe, network, names, self._parent_items, images)
        yield Note(
            f"{card.model} on {card.dataset}: {len(names)} layers to quantize, on {self.device}."
        )
        if self._saved is None:
            _, self._parent_accuracy = yield from evaluate_with_progress(
                network, images.test, "Testing the network before quantization"
            )
            difference = explain_other_record(self._parent_accuracy, self._recorded_accuracy)
            if difference:
                yield Note(difference, level="warning")
            start = yield from quantizer.quantize()
            yield Quantized(self._layer_figures(start.items, start.rounded))
        else:
            self._parent_accuracy = self._saved["parent_accuracy"]
            start = yield from quantizer.to_nearest()  # what is saved replaces its values
        if self.recipe.epochs:
            yield from self._tune(packer, network, start.items)
            yield Quantized(self._layer_figures(self._packed_weights(names)), tuned=True)
        else:
            packed = yield from packer.pack_and_test(network, start.items)
            self._chosen = _Candidate(0, None, packed)
        assert self._chosen is not None
        if self._chosen.packed.batchnorm_note:
            yield Note(self._chosen.packed.batchnorm_note)
        yield Finished(self._summary(images))

    def _split(self, dataset: Dataset) -> TrainingSplit:
        """Return which training images are held back.

        A run that was started by an older version held none back, and continues so.
        """
        if self._saved is not None and not self._saved.get("held_back"):
            everything = np.arange(len(dataset.train))
            return TrainingSplit(everything, everything[:0])
        return split_for_compression(self.parent.card, self.recipe, dataset)

    def _layer_figures(
        self,
        items: Mapping[str, QuantizedWeight],
        rounded: Mapping[str, RoundedLayer] | None = None,
    ) -> dict[str, QuantizedLayer]:
        """rounded: what compensated rounding did to each layer."""
        figures = {name: quantized_layer(self.parent.state[name], items[name]) for name in items}
        for name, layer in (rounded or {}).items():
            figures[name]["nearest_error"] = layer.nearest_error
            figures[name]["output_error"] = layer.error
        return figures

    def _packed_weights(self, names: Sequence[str]) -> dict[str, QuantizedWeight]:
        """Return these weights as the packed file holds them."""
        assert self._chosen is not None
        weights = {}
        for name in names:
            item = self._chosen.packed.tensors[name]
            assert not isinstance(item, Tensor), f"{name} is not quantized in the packed file"
            weights[name] = item
        return weights

    def _tune(
        self,
        packer: Packer,
        network: nn.Module,
        items: Mapping[str, QuantizedWeight],
    ) -> Iterator[Event]:
        """Tune the network, and pack and test it before the first and after every epoch.

        network: the one before quantization.
        """
        images = packer.images
        self._held_back = len(images.held_back)
        tuning = Tuning(self.recipe, network, items, images.tuning(), images.augment)
        loop = tuning.loop
        if self._saved is not None:
            with restoring():
                self._restore(tuning, self._saved)
            yield Note(f"Continued in epoch {loop.epoch}, after {loop.batches_done:,} batches.")
        elif self._held_back:
            yield from self._offer_start(packer, tuning, network)
        self._tuning = tuning
        while not loop.finished:
            yield from loop.train_epoch()
            yield from self._end_epoch(packer, tuning, network)
        if self._chosen is None:  # an older version ended its last epoch, and was stopped then
            quantized, current = tuning.network()
            packed = yield from packer.pack_and_test(quantized, current)
            self._chosen = _Candidate(loop.epoch - 1, None, packed)
        yield Note(_describe_choice(self._chosen, self.recipe.epochs, self._held_back))

    def _offer_start(self, packer: Packer, tuning: Tuning, teacher: nn.Module) -> Iterator[Event]:
        """Pack and test the network before the first epoch. Tuning may make it worse."""
        network, items = tuning.network()
        packed = yield from packer.pack_and_test(network, items)
        divergence = mean_divergence(network, teacher, packer.images.held_back)
        self._offer(0, divergence, packed)
        yield Note(
            f"Before tuning: test accuracy {packed.accuracy:.2%}, KL divergence from the float"
            f" network {divergence:.4f} nats."
        )

    def _end_epoch(self, packer: Packer, tuning: Tuning, teacher: nn.Module) -> Iterator[Event]:
        """Pack, test and validate the network of this epoch; ends with EpochEnd.

        teacher: the network before quantization.
        """
        began = time.perf_counter()
        loop = tuning.loop
        network, items = tuning.network()
        packed = yield from _as_last_batch(
            packer.pack_and_test(network, items), loop.batches_per_epoch
        )
        validation = None
        held_back = packer.images.held_back
        if len(held_back):
            loss, accuracy = evaluate(network, held_back)
            validation = Validation(loss, accuracy, mean_divergence(network, teacher, held_back))
        self._offer(loop.epoch, validation.divergence if validation else None, packed)
        yield loop.end_epoch(
            packed.loss, packed.accuracy, time.perf_counter() - began, packed.state, validation
        )

    def _offer(self, epoch: int, divergence: float | None, packed: PackedResult) -> None:
        """Choose this network if it is the closest to the float network so far.

        Without held-back images the last one is chosen: the test images only report.
        """
        least = None if self._chosen is None else self._chosen.divergence
        if divergence is None or least is None or divergence < least:
            self._chosen = _Candidate(epoch, divergence, packed)

    def _restore(self, tuning: Tuning, saved: Mapping[str, Any]) -> None:
        tuning.restore(saved)
        chosen = saved.get("chosen")  # older versions did not keep it
        if chosen is not None:
            packed = PackedResult.of(
                chosen["packed"].numpy().tobytes(),
                chosen["loss"],
                chosen["accuracy"],
                chosen["batchnorm_note"],
            )
            self._chosen = _Candidate(chosen["epoch"], chosen["divergence"], packed)

    def checkpoint(self) -> dict[str, Any] | None:
        """Return all that is needed to continue from here, or None before the first step.

        Raises UserError if the loss is NaN or infinite.
        """
        if self._tuning is None or not self._tuning.loop.started:
            return None
        saved = {
            **self._tuning.checkpoint(),
            "parent_accuracy": self._parent_accuracy,
            "held_back": self._held_back,
        }
        if self._chosen is not None:
            packed = self._chosen.packed
            saved["chosen"] = {
                "epoch": self._chosen.epoch,
                "divergence": self._chosen.divergence,
                "packed": torch.from_numpy(np.frombuffer(packed.data, np.uint8).copy()),
                "loss": packed.loss,
                "accuracy": packed.accuracy,
                "batchnorm_note": packed.batchnorm_note,
            }
        return saved

    def result(self) -> dict[str, dict[str, Tensor]]:
        """Return the dequantized network, whose bits are those that the packed file holds.

        Empty before that file exists.
        """
        return {} if self._chosen is None else {"model": self._chosen.packed.state}

    def card(self) -> ModelCard:
        """Return what a reader of the weights must know: the parent's card, and this recipe."""
        return add_recipe(self.parent.card, self.recipe)

    def files(self) -> dict[str, bytes]:
        """Return the packed file; empty before it exists."""
        return {} if self._chosen is None else {"packed.secateur": self._chosen.packed.data}

    @property
    def _history(self) -> History:
        return self._tuning.loop.history if self._tuning is not None else History()

    def _summary(self, images: CompressionImages) -> Summary:
        assert self._chosen is not None
        packed = self._chosen.packed
        weights = [self.parent.state[name] for name in prunable_weights(self.parent.network())]
        prunable = sum(weight.numel() for weight in weights)
        kept = sum(int(weight.count_nonzero()) for weight in weights)
        if isinstance(self.recipe, KMeansRecipe) and not self.recipe.keep_zeros:
            kept = prunable
        summary = summarize(
            self.card(),
            self.device,
            self._history,
            kept=kept,
            prunable=prunable,
            density=kept / prunable,
            test_accuracy=packed.accuracy,
            test_images=len(images.test),
            parent_accuracy=self._parent_accuracy,
            float_bytes=packed.ledger.float_bytes,
            packed_bytes=packed.ledger.total,
        )
        return summary.model_copy(update={"best_accuracy": packed.accuracy})


def _as_last_batch(
    events: Generator[Progress, None, PackedResult], batches: int
) -> Generator[Progress, None, PackedResult]:
    """Yield these events as the end of an epoch's last batch, and return what they return.

    Otherwise the run's progress would go back to the start of the epoch.
    """
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            result: PackedResult = end.value
            return result
        yield replace(event, done=batches, total=batches, unit="batches")


def _describe_choice(chosen: _Candidate, epochs: int, held_back: int) -> str:
    """Say which network the packed file holds, and why."""
    if not held_back:
        return "The packed file holds the last epoch: no training images were held back."
    if chosen.divergence is None:
        return "The packed file holds the last epoch."
    reason = (
        f"of all, its answers on {held_back:,} held-back training images are closest to those of"
        f" the float network (KL divergence {chosen.divergence:.4f} nats)"
    )
    if not chosen.epoch:
        return f"The packed file holds the network before tuning: {reason}."
    return f"The packed file holds epoch {chosen.epoch} of {epochs}: {reason}."


def quantized_layer(weight: Tensor, item: QuantizedWeight) -> QuantizedLayer:
    """Return the figures of one layer for a Quantized event."""
    return {
        "weights": weight.numel(),
        "levels": count_levels(item),
        "bits": item.bits,
        "bytes": round(coded_bytes(item)),
        "snr": snr_if_lossy(weight, item.decode().to(weight.device)),
        "pinned_zeros": count_pinned_zeros(item),
    }
