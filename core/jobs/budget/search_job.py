"""Holds what both kinds of budget run share: their state, their data set and their figures."""

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from core import data
from core.compress.packed.ledger import Ledger
from core.config import BudgetRecipe
from core.data import Dataset
from core.events import Event, Summary
from core.inspect.behaviour.paired import PairedCounts, lost_interval
from core.jobs.job import kept_figures, restoring, summarize
from core.jobs.pack_and_test import add_recipe
from core.jobs.parent_dataset import load_parent_dataset
from core.models.card import ModelCard
from core.models.saved import SavedModel
from core.search.memory import Memory
from core.search.plan import Clock
from core.training.device import choose_device, prepare_process
from core.training.history import History


class _Part(Protocol):
    def checkpoint(self) -> Any: ...


class SearchJob:
    """The start and the end of a run of a BudgetRecipe. Each kind of run adds its own search.

    parent: the trained network. checkpoint: what an earlier process of the run saved. device: the
    device that the run uses.

    Raises UserError for what cannot work.
    """

    def __init__(
        self,
        recipe: BudgetRecipe,
        parent: SavedModel,
        data_root: Path,
        checkpoint: Mapping[str, Any] | None,
    ):
        self.recipe = recipe
        self.parent = parent
        self.data_root = data_root
        self.device = choose_device(recipe.device)
        self._saved = checkpoint
        self._memory = Memory()
        self._clock = self._new_clock()
        if checkpoint is not None:
            with restoring():
                self._memory.restore(checkpoint["memory"])

    def card(self) -> ModelCard:
        """Return what a reader of the weights must know: the parent's card, and this recipe."""
        return add_recipe(self.parent.card, self.recipe)

    def _new_clock(self) -> Clock:
        """Return a clock that counts from now, on top of what earlier processes spent."""
        spent = self._saved["spent"] if self._saved else 0.0
        return Clock(self.recipe.minutes, spent)

    def _load_dataset(self) -> Generator[Event, None, Dataset]:
        """Prepare the process and the parent's data set, and return the data set."""
        prepare_process()
        yield from data.prepare(self.parent.card.dataset, self.data_root)
        return load_parent_dataset(self.parent.card, self.data_root)

    def _shared_checkpoint(self) -> dict[str, Any]:
        """Return the part of a checkpoint that every kind of run has."""
        return {"history": [], "memory": self._memory.checkpoint(), "spent": self._clock.spent}

    def _checkpoint_of(self, part: _Part | None, name: str) -> Any:
        """Return what a part has to save; what was saved before until the part takes it over."""
        if part is not None:
            return part.checkpoint()
        return self._saved[name] if self._saved is not None else None

    def _summarize(
        self, network: nn.Module, counts: PairedCounts, ledger: Ledger, **more: Any
    ) -> Summary:
        """Return the summary. counts: of the answers on half B, before and after.

        ledger: of the packed file. more: fields of Summary that only one kind of run has.
        """
        return summarize(
            self.card(),
            self.device,
            History(),
            **kept_figures(network),
            test_accuracy=counts.second_accuracy,
            test_images=counts.images,
            parent_accuracy=counts.first_accuracy,
            float_bytes=ledger.float_bytes,
            packed_bytes=ledger.total,
            test_half="B",
            lost_interval=lost_interval(counts),
            **more,
        )
