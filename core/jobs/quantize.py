"""Quantizes a trained network, by k-means or to a few bits, packs it and tests the packed file."""

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core import data
from core.accuracy import explain_other_record
from core.compress.affine import QuantizedWeight
from core.compress.codec import Packed
from core.compress.kmeans import Codebook
from core.compress.packed.writer import coded_bytes
from core.compress.quantization.layers import chosen_layers, quantize_layer
from core.config import AffineRecipe, KMeansRecipe
from core.data import Dataset
from core.data.batches import DeviceImages
from core.errors import UserError
from core.events import Event, Finished, Note, Progress, Quantized, QuantizedLayer, Summary
from core.forecast.quantization import count_levels, count_pinned_zeros, snr_if_lossy
from core.jobs.job import restoring, summarize
from core.jobs.pack_and_test import PackedResult, Packer, add_recipe
from core.models import check_side
from core.models.card import ModelCard
from core.models.parameters import prunable_weights
from core.models.saved import SavedModel
from core.training import setup
from core.training.device import choose_device, prepare_process
from core.training.distill import Tuning
from core.training.evaluate import (
    Validation,
    evaluate,
    evaluate_with_progress,
    mean_divergence,
)
from core.training.held_back import TrainingSplit, images_at, split_for_quantizing
from core.training.history import History


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
        self._packed_result: PackedResult | None = None

    def events(self) -> Generator[Event, None, None]:
        """Test the parent, quantize, tune, re-estimate BatchNorm, pack and test.

        Ends with Finished.
        """
        card = self.parent.card
        prepare_process()
        yield from data.prepare(card.dataset, self.data_root)
        dataset = self._load_dataset()
        packer = Packer(
            self.recipe,
            self.parent,
            self._parent_items,
            dataset,
            self._split(dataset),
            self.device,
        )
        network = self.parent.network().to(self.device)
        network = network.to(memory_format=torch.channels_last)
        names = chosen_layers(card, self.recipe)
        weights = {name: network.get_parameter(name).detach() for name in names}
        yield Note(
            f"{card.model} on {card.dataset}: {len(weights)} layers to quantize, on {self.device}."
        )
        if self._saved is None:
            _, self._parent_accuracy = yield from evaluate_with_progress(
                network, packer.test_images, "Testing the network before quantization"
            )
            difference = explain_other_record(self._parent_accuracy, self._recorded_accuracy)
            if difference:
                yield Note(difference, level="warning")
        else:
            self._parent_accuracy = self._saved["parent_accuracy"]
        items = yield from self._quantize(weights)
        if self._saved is None:
            yield Quantized(self._layer_figures(items))
        if isinstance(self.recipe, KMeansRecipe) and self.recipe.epochs:
            yield from self._tune(self.recipe, packer, network, items)
            yield Quantized(self._layer_figures(self._packed_weights(names)), tuned=True)
        else:
            self._packed_result = yield from packer.pack_and_test(network, items)
        yield Finished(self._summary(packer))

    def _split(self, dataset: Dataset) -> TrainingSplit:
        """Return which training images are held back.

        A run that was started by an older version held none back, and continues so.
        """
        if self._saved is not None and not self._saved.get("held_back"):
            everything = np.arange(len(dataset.train))
            return TrainingSplit(everything, everything[:0])
        return split_for_quantizing(self.parent.card, self.recipe, dataset)

    def _layer_figures(self, items: Mapping[str, QuantizedWeight]) -> dict[str, QuantizedLayer]:
        return {name: layer_figures(self.parent.state[name], items[name]) for name in items}

    def _packed_weights(self, names: Sequence[str]) -> dict[str, QuantizedWeight]:
        """Return these weights as the packed file holds them."""
        assert self._packed_result is not None
        weights = {}
        for name in names:
            item = self._packed_result.tensors[name]
            assert not isinstance(item, Tensor), f"{name} is not quantized in the packed file"
            weights[name] = item
        return weights

    def _load_dataset(self) -> Dataset:
        """Return the parent's data set, with the parent's normalisation.

        Raises UserError if its classes or the size of its images do not fit the parent.
        """
        card = self.parent.card
        dataset = data.load(card.dataset, self.data_root)
        if tuple(dataset.classes) != card.classes:
            raise UserError(
                f"The data set {card.dataset} has other classes than those that this network"
                " was trained on: import the data set that it was trained on."
            )
        check_side(card.model, dataset.side)
        return setup.with_normalisation_of(card, dataset)

    def _quantize(
        self, weights: Mapping[str, Tensor]
    ) -> Generator[Progress, None, dict[str, QuantizedWeight]]:
        stage = "Sharing weights" if isinstance(self.recipe, KMeansRecipe) else "Rounding weights"
        items: dict[str, QuantizedWeight] = {}
        for name, weight in weights.items():
            yield Progress(stage, len(items), len(weights), "layers")
            item = quantize_layer(weight, name, self.recipe, self._parent_items.get(name))
            assert item is not None, f"{name} is left out, so it is not one of the chosen layers"
            items[name] = item
        return items

    def _tune(
        self,
        recipe: KMeansRecipe,
        packer: Packer,
        network: nn.Module,
        items: Mapping[str, QuantizedWeight],
    ) -> Iterator[Event]:
        """Tune the network, and pack and test it after every epoch."""
        codebooks = {name: item for name, item in items.items() if isinstance(item, Codebook)}
        images = setup.training_images(recipe, packer.dataset, self.device, packer.split)
        held_back = images_at(packer.split.held_back, packer.dataset, self.device)
        self._held_back = len(held_back)
        tuning = Tuning(recipe, network, codebooks, images, packer.augment)
        loop = tuning.loop
        if self._saved is not None:
            with restoring():
                tuning.restore(self._saved)
            yield Note(f"Continued in epoch {loop.epoch}, after {loop.batches_done:,} batches.")
        self._tuning = tuning
        while not loop.finished:
            yield from loop.train_epoch()
            yield from self._end_epoch(packer, tuning, network, held_back)
        if self._packed_result is None:  # the run was continued after its last epoch
            yield from self._pack_and_test(packer, tuning)

    def _end_epoch(
        self, packer: Packer, tuning: Tuning, teacher: nn.Module, held_back: DeviceImages
    ) -> Iterator[Event]:
        """Pack, test and validate the network of this epoch; ends with EpochEnd.

        teacher: the network before quantization. held_back: may be empty.
        """
        began = time.perf_counter()
        testing = self._pack_and_test(packer, tuning)
        network = yield from _as_last_batch(testing, tuning.loop.batches_per_epoch)
        assert self._packed_result is not None
        validation = None
        if len(held_back):
            loss, accuracy = evaluate(network, held_back)
            validation = Validation(loss, accuracy, mean_divergence(network, teacher, held_back))
        yield tuning.loop.end_epoch(
            self._packed_result.loss,
            self._packed_result.accuracy,
            time.perf_counter() - began,
            self._packed_result.state,
            validation,
        )

    def _pack_and_test(
        self, packer: Packer, tuning: Tuning
    ) -> Generator[Progress, None, nn.Module]:
        """Pack and test the network as it is tuned now, and keep the result.

        Returns the network that the packed file holds.
        """
        network, codebooks = tuning.network()
        self._packed_result = yield from packer.pack_and_test(network, codebooks)
        return network

    def checkpoint(self) -> dict[str, Any] | None:
        """Return all that is needed to continue from here, or None before the first step.

        Raises UserError if the loss is NaN or infinite.
        """
        if self._tuning is None or not self._tuning.loop.started:
            return None
        return {
            **self._tuning.checkpoint(),
            "parent_accuracy": self._parent_accuracy,
            "held_back": self._held_back,
        }

    def result(self) -> dict[str, dict[str, Tensor]]:
        """Return the dequantized network, and that of the best epoch of tuning if there is one.

        Its bits are those that the packed file holds. Empty before that file exists.
        """
        if self._packed_result is None:
            return {}
        files = {"model": self._packed_result.state}
        if self._history.best:
            files["best"] = self._history.best
        return files

    def card(self) -> ModelCard:
        """Return what a reader of the weights must know: the parent's card, and this recipe."""
        return add_recipe(self.parent.card, self.recipe)

    def files(self) -> dict[str, bytes]:
        """Return the packed file; empty before it exists."""
        if self._packed_result is None:
            return {}
        return {"packed.safetensors": self._packed_result.data}

    @property
    def _history(self) -> History:
        return self._tuning.loop.history if self._tuning is not None else History()

    def _summary(self, packer: Packer) -> Summary:
        packed_result = self._packed_result
        assert packed_result is not None
        weights = [self.parent.state[name] for name in prunable_weights(self.parent.network())]
        prunable = sum(weight.numel() for weight in weights)
        kept = sum(int(weight.count_nonzero()) for weight in weights)
        if isinstance(self.recipe, KMeansRecipe) and not self.recipe.keep_zeros:
            kept = prunable
        return summarize(
            self.card(),
            self.device,
            self._history,
            kept=kept,
            prunable=prunable,
            density=kept / prunable,
            test_accuracy=packed_result.accuracy,
            test_images=len(packer.test_images),
            parent_accuracy=self._parent_accuracy,
            float_bytes=packed_result.ledger.float_bytes,
            packed_bytes=packed_result.ledger.total,
        )


def _as_last_batch(
    events: Generator[Progress, None, nn.Module], batches: int
) -> Generator[Progress, None, nn.Module]:
    """Yield these events as the end of an epoch's last batch, and return what they return.

    Otherwise the run's progress would go back to the start of the epoch.
    """
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            network: nn.Module = end.value
            return network
        yield replace(event, done=batches, total=batches, unit="batches")


def layer_figures(weight: Tensor, item: QuantizedWeight) -> QuantizedLayer:
    """Return the figures of one layer for a Quantized event."""
    return {
        "weights": weight.numel(),
        "levels": count_levels(item),
        "bits": item.bits,
        "bytes": round(coded_bytes(item)),
        "snr": snr_if_lossy(weight, item.decode().to(weight.device)),
        "pinned_zeros": count_pinned_zeros(item),
    }
