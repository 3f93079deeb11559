"""Quantizing a trained network, by k-means or to a few bits, until it is a packed file whose accuracy is known."""

import math
import time
from collections.abc import Generator, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from core import data
from core.compress.codec import Packed
from core.compress.distortion import snr
from core.compress.kmeans import Codebook
from core.compress.layers import Item, chosen_layers, quantized
from core.compress.layout import coded_bytes
from core.config import AffineRecipe, KMeansRecipe
from core.errors import UserError
from core.events import EpochEnd, Event, Finished, Note, Progress, Quantized
from core.models import check
from core.models.parameters import prunable
from core.models.saved import Facts, SavedModel
from core.training import setup
from core.training.device import prepare_process, resolve
from core.training.evaluate import evaluating
from core.training.packing import Outcome, Packing, facts_after
from core.training.tune import Tuning


class Quantizing:
    """One run of a KMeansRecipe or an AffineRecipe on a trained network, `parent`.

    packed: the parent's packed file if it was quantized itself; 8 bit on top of k-means then rounds its centroids.
    `events()` does the work; `checkpoint()` and `result()` may be called between any two events. `device` is known
    from the start. Raises UserError for what cannot work.
    """

    def __init__(self, recipe: KMeansRecipe | AffineRecipe, parent: SavedModel, packed: Packed | None,
                 data_root: Path, checkpoint: dict | None = None):
        self.recipe, self.parent, self.data_root = recipe, parent, data_root
        self.device = resolve(recipe.device)
        self._packed = packed.tensors if packed else {}
        self._from = checkpoint
        self._tuning: Tuning | None = None
        self._outcome: Outcome | None = None
        self.history: list[dict] = []
        self.best: dict[str, Tensor] = {}
        self.best_accuracy = -1.0

    def events(self) -> Iterator[Event]:
        """Test the parent, quantize, tune, re-estimate BatchNorm, pack and test; ends with Finished."""
        prepare_process()
        yield from data.prepare(self.parent.facts.dataset, self.data_root)
        self._load()
        network = self.parent.network().to(self.device, memory_format=torch.channels_last)
        weights = {name: network.get_parameter(name).detach()
                   for name in chosen_layers(self.parent.facts, self.recipe)}
        yield Note(f"{self.parent.facts.model} on {self.parent.facts.dataset}: {len(weights)} layers to quantize, on "
                   f"{self.device}.")
        if self._from is None:
            _, self._accuracy = yield from evaluating(network, self._packing.test, "Testing the network as it was")
        else:
            self._accuracy = self._from["parent_accuracy"]
        items = yield from self._quantize(weights)
        if self._from is None:
            yield Quantized({name: figures(weight, items[name]) for name, weight in weights.items()})
        if self.recipe.epochs and items:
            yield from self._tune(network, items)
        else:
            self._outcome = yield from self._packing.settled(network, items)
        yield Finished(self._summary())

    # -- before the first step ----------------------------------------------------------------------------------

    def _load(self) -> None:
        """The parent's data set, in the parent's normalisation. Raises UserError if it is not what it was."""
        facts = self.parent.facts
        dataset = data.load(facts.dataset, self.data_root)
        if tuple(dataset.classes) != facts.classes:
            raise UserError(f"The data set {facts.dataset} has other classes than those that this network knows: "
                            "import the one that it was trained on.")
        check(facts.model, dataset.side)
        self._dataset = replace(dataset, mean=facts.mean, std=facts.std)
        self._packing = Packing(self.recipe, self.parent, self._packed, self._dataset, self.device)

    def _quantize(self, weights: dict[str, Tensor]) -> Generator[Progress, None, dict[str, Item]]:
        stage = "Sharing weights" if isinstance(self.recipe, KMeansRecipe) else "Rounding weights"
        items = {}
        for name, weight in weights.items():
            yield Progress(stage, len(items), len(weights), "layers")
            items[name] = quantized(weight, name, self.recipe, self._packed.get(name))
        return items

    # -- tuning -------------------------------------------------------------------------------------------------

    def _tune(self, network: nn.Module, items: dict[str, Item]) -> Iterator[Event]:
        images = setup.training_images(self.recipe, self._dataset, self.device)
        tuning = Tuning(self.recipe, network, items, images, self._packing.augment)
        if self._from is not None:
            tuning.restore(self._from)
            self.history, self.best = self._from["history"], self._from["best"]
            self.best_accuracy = self._from["best_accuracy"]
            yield Note(f"Continued in epoch {tuning.position[0]}, after {tuning.position[1]:,} batches.")
        self._tuning = tuning
        while tuning.position[0] <= self.recipe.epochs:
            yield from tuning.epoch()
            yield (yield from self._end_epoch(tuning))
        if self._outcome is None:  # continued after the last epoch
            self._outcome = yield from self._packing.settled(*tuning.network())

    def _end_epoch(self, tuning: Tuning) -> Generator[Progress, None, EpochEnd]:
        began, (epoch, done, spent) = time.perf_counter(), tuning.position
        outcome = yield from _waiting(self._packing.settled(*tuning.network()), done)
        loss, accuracy, images = tuning.figures()
        end = EpochEnd(epoch, self.recipe.epochs, loss, accuracy, outcome.loss, outcome.accuracy,
                       tuning.lr(epoch, done - 1), images / spent, spent, spent + time.perf_counter() - began)
        self.history.append(asdict(end) | {"images": images})
        if outcome.accuracy > self.best_accuracy:
            self.best_accuracy, self.best = outcome.accuracy, outcome.state
        self._outcome = outcome
        tuning.next_epoch()
        return end

    # -- what lasts ---------------------------------------------------------------------------------------------

    def checkpoint(self) -> dict | None:
        """All that is needed to continue from here; None before the first step. Raises UserError for a NaN."""
        if self._tuning is None or self._tuning.position == (1, 0, 0.0):
            return None
        return self._tuning.checkpoint() | {"parent_accuracy": self._accuracy, "history": self.history,
                                            "best": self.best, "best_accuracy": self.best_accuracy}

    def result(self) -> dict[str, dict[str, Tensor]]:
        """The decoded network, bit for bit what the packed file holds, and that of the best epoch of tuning."""
        if self._outcome is None:
            return {}
        return {"model": self._outcome.state, **({"best": self.best} if self.best else {})}

    def facts(self) -> Facts:
        """What a reader of the weights needs to know: as for the parent, and one more recipe."""
        return facts_after(self.recipe, self.parent.facts)

    def files(self) -> dict[str, bytes]:
        """The packed file."""
        return {"packed.safetensors": self._outcome.data} if self._outcome else {}

    def _summary(self) -> dict:
        facts, outcome = self.parent.facts, self._outcome
        weights = [self.parent.state[name] for name in prunable(self.parent.network())]
        total = sum(weight.numel() for weight in weights)
        keeps_zeros = getattr(self.recipe, "keep_zeros", True)
        kept = sum(int(weight.count_nonzero()) for weight in weights) if keeps_zeros else total
        seconds = sum(row["train_seconds"] for row in self.history)
        return {"model": facts.model, "dataset": facts.dataset, "density": kept / total, "kept": kept,
                "prunable": total, "epochs": len(self.history), "test_accuracy": outcome.accuracy,
                "best_accuracy": max(outcome.accuracy, self.best_accuracy), "train_seconds": float(seconds),
                "images_per_second": sum(row["images"] for row in self.history) / seconds if seconds else 0.0,
                "device": str(self.device), "parent_accuracy": self._accuracy, "float_bytes": outcome.ledger.float,
                "packed_bytes": outcome.ledger.total}


def figures(weight: Tensor, item: Item) -> dict:
    """The figures of one layer in a Quantized event, whose docstring says what they are."""
    ratio = snr(weight, item.decode().to(weight.device))
    levels = item.centroids.numel() if isinstance(item, Codebook) else item.values.unique().numel()
    return {"weights": weight.numel(), "levels": levels, "bits": item.bits, "bytes": round(coded_bytes(item)),
            "snr": ratio if math.isfinite(ratio) else None}


def _waiting(events: Generator[Progress, None, Outcome], batches: int) -> Generator[Progress, None, Outcome]:
    """The same events at the end of the epoch's batches, so that the progress of the run does not jump back."""
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            return end.value
        yield replace(event, done=batches, total=batches, unit="batches")
