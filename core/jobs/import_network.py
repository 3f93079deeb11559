"""Imports a network that was trained elsewhere, and tests it.

The file comes from anybody, so `core.checkpoints` reads it with suspicion and matches its tensors
with those of the network.
"""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core import data
from core.checkpoints.reader import match_recipe, read_checkpoint
from core.compress import codec
from core.compress.codec import Packed
from core.compress.packed.ledger import Ledger
from core.config import ImportRecipe
from core.data import Dataset
from core.data.batches import DeviceImages
from core.events import Event, Finished, Note, Progress, Summary
from core.jobs.job import kept_figures, summarize
from core.models import check_side
from core.models.card import ModelCard
from core.training.device import choose_device, prepare_process
from core.training.evaluate import evaluate_with_progress
from core.training.history import History


class ImportJob:
    """One run of an ImportRecipe, on the file at `source`; see `core.jobs.job.Job`.

    The job is short: an interrupted one starts again from the beginning.
    dataset: set by `events`, with the data set of the recipe.
    model: the imported network, None until the file fits.

    Raises UserError if the file does not hold the recipe's network for the data set's classes.
    """

    dataset: Dataset

    def __init__(self, recipe: ImportRecipe, source: Path, data_root: Path):
        self.recipe = recipe
        self.source = source
        self.data_root = data_root
        self.device = choose_device(recipe.device)
        self.model: nn.Module | None = None
        self._source_packed: Packed | None = None
        self._packed: tuple[bytes, Ledger] | None = None
        self._ancestors: tuple[dict[str, Any], ...] = ()

    def events(self) -> Generator[Event, None, None]:
        """Read the file, match its tensors, and test the network; ends with Finished."""
        recipe = self.recipe
        prepare_process()
        yield Progress(f"Reading {recipe.file}", 0, 0)
        checkpoint = read_checkpoint(self.source, recipe.file)
        self._source_packed = checkpoint.packed
        yield from map(Note, checkpoint.notes)
        yield from data.prepare(recipe.dataset, self.data_root)
        self.dataset = data.load(recipe.dataset, self.data_root)
        check_side(recipe.model, self.dataset.side)
        matching = match_recipe(checkpoint, recipe, len(self.dataset.classes))
        matched_by = "order and shape" if matching.by_order else "name"
        yield Note(
            f"All {len(matching.pairs)} tensors of {recipe.file} match those of {recipe.model}, by"
            f" {matched_by}."
        )
        if checkpoint.card is not None:
            self._ancestors = checkpoint.card.recipes
        model = matching.network(checkpoint.state).to(self.device)
        model = model.to(memory_format=torch.channels_last)
        self.model = model
        images = DeviceImages(
            self.dataset.test, recipe.mean, recipe.std, self.device, torch.channels_last
        )
        yield Note(
            f"{recipe.model} on the {len(images):,} test images of {recipe.dataset}, on"
            f" {self.device}."
        )
        loss, accuracy = yield from evaluate_with_progress(model, images, "Testing")
        yield Progress("Packing the network", 0, 0)
        content, ledger = self._pack()
        self._packed = content, ledger
        yield Finished(self._summary(model, loss, accuracy, ledger))

    def checkpoint(self) -> dict[str, Any] | None:
        """Return None: there is nothing to continue from."""
        return None

    def result(self) -> dict[str, dict[str, Tensor]]:
        """Return the weights on the CPU; empty until the file fits the network."""
        if self.model is None:
            return {}
        weights = {
            name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, tensor in self.model.state_dict().items()
        }
        return {"model": weights}

    def card(self) -> ModelCard:
        """Return what a reader of the weights must know.

        The normalisation is that of the recipe, which may differ from the data set's.
        """
        recipe = self.recipe
        return ModelCard(
            model=recipe.model,
            dataset=recipe.dataset,
            classes=self.dataset.classes,
            mean=recipe.mean,
            std=recipe.std,
            side=self.dataset.side,
            recipes=(*self._ancestors, recipe.model_dump(mode="json")),
        )

    def files(self) -> dict[str, bytes]:
        """Return the packed file; empty before it exists."""
        if self._packed is None:
            return {}
        content, _ = self._packed
        return {"packed.secateur": content}

    def _pack(self) -> tuple[bytes, Ledger]:
        """Return the packed file and where its bytes go.

        A source that is a packed file is kept: its codebooks tell more than the weights.
        """
        if self._source_packed is not None:
            return self.source.read_bytes(), self._source_packed.ledger
        return codec.pack(self.result()["model"], self.card())

    def _summary(self, model: nn.Module, loss: float, accuracy: float, ledger: Ledger) -> Summary:
        return summarize(
            self.card(),
            self.device,
            History(),
            **kept_figures(model),
            test_accuracy=accuracy,
            test_loss=loss,
            test_images=len(self.dataset.test),
            float_bytes=ledger.float_bytes,
            packed_bytes=ledger.total,
        )
