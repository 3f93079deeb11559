"""Tests a network on the whole test set, and keeps its answer for every image."""

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from core import data
from core.accuracy import explain_other_record
from core.config import AnswersRecipe
from core.data import Dataset
from core.events import Event, Finished, Note, Summary
from core.inspect.behaviour.answers import (
    Answers,
    answers_bytes,
    answers_key,
    compute_answers,
    hash_test_set,
)
from core.jobs.job import kept_figures, restoring, summarize
from core.jobs.parent_dataset import load_parent_dataset
from core.models.card import ModelCard
from core.models.saved import SavedModel
from core.training.device import choose_device, prepare_process
from core.training.history import History
from core.training.setup import test_images


class AnswersJob:
    """One run of an AnswersRecipe, on a saved network; see `core.jobs.job.Job`.

    It has no model as its result. An interrupted job continues after the last batch that it tested,
    or begins anew if the model file or the test set was changed since.

    parent: the network. model_hash: SHA-256 of its file. recorded: its test accuracy in [0, 1] as
    its run recorded it.
    """

    def __init__(
        self,
        recipe: AnswersRecipe,
        parent: SavedModel,
        model_hash: str,
        data_root: Path,
        checkpoint: Mapping[str, Any] | None = None,
        recorded: float | None = None,
    ):
        self.parent = parent
        self.model_hash = model_hash
        self.data_root = data_root
        self.device = choose_device(recipe.device)
        self._recorded = recorded
        self._saved = checkpoint
        self._key = ""
        self._batches: list[NDArray[np.float32]] = []
        self._answers: Answers | None = None

    def events(self) -> Generator[Event, None, None]:
        """Test the network on all test images; ends with Finished."""
        card = self.parent.card
        prepare_process()
        yield from data.prepare(card.dataset, self.data_root)
        dataset = load_parent_dataset(card, self.data_root)
        self._key = answers_key(self.model_hash, card.dataset, hash_test_set(dataset))
        yield self._continue()
        images = test_images(dataset, self.device)
        network = self.parent.network().to(self.device).to(memory_format=torch.channels_last)
        answers = yield from compute_answers(network, images, "Testing", self._batches)
        summary = self._summary(network, dataset, answers)
        difference = explain_other_record(summary.test_accuracy, self._recorded)
        if difference:
            yield Note(difference, level="warning")
        self._answers = answers
        yield Finished(summary)

    def checkpoint(self) -> dict[str, Any] | None:
        """Return the logits so far, or None before the first batch is tested."""
        if not self._batches:
            return None
        logits = torch.from_numpy(np.concatenate(self._batches))
        return {"history": [], "key": self._key, "logits": logits}

    def result(self) -> dict[str, dict[str, Tensor]]:
        """Return nothing: the network is the parent's."""
        return {}

    def card(self) -> ModelCard:
        """Return the parent's card."""
        return self.parent.card

    def files(self) -> dict[str, bytes]:
        """Return the file of the answers; empty before all images are tested."""
        if self._answers is None:
            return {}
        return {"answers.safetensors": answers_bytes(self._answers, self._key)}

    def _continue(self) -> Note:
        """Take the logits of the checkpoint, and say from where the test goes on."""
        card = self.parent.card
        if self._saved is None:
            return Note(f"{card.model} on the test images of {card.dataset}, on {self.device}.")
        with restoring():
            key: str = self._saved["key"]
            logits: NDArray[np.float32] = self._saved["logits"].numpy()
        if key != self._key:
            text = "The model file or the test set was changed since, so the test begins anew."
            return Note(text, level="warning")
        self._batches.append(logits)
        return Note(f"Continued after {len(logits):,} images.")

    def _summary(self, network: nn.Module, dataset: Dataset, answers: Answers) -> Summary:
        labels = dataset.test.labels
        accuracy = float(answers.right(labels).mean())
        loss = F.cross_entropy(torch.from_numpy(answers.logits), torch.tensor(labels))
        return summarize(
            self.card(),
            self.device,
            History(),
            **kept_figures(network),
            test_accuracy=accuracy,
            test_loss=loss.item(),
            test_images=len(labels),
            parent_accuracy=accuracy,
        )
