"""Quantizes a network under a budget: measures its layers, searches, tunes, packs and tests."""

import math
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core.accuracy import explain_other_record
from core.compress import codec
from core.config import BudgetRecipe
from core.config.budget import NOTHING_FITS
from core.data import Dataset
from core.data.batches import DeviceImages
from core.errors import UserError
from core.events import Event, Finished, LayersMeasured, Note, Quantized, Summary
from core.inspect.behaviour.paired import PairedCounts
from core.jobs.budget.candidates import CandidateMaker, quantized_items
from core.jobs.budget.checks import check_choices, check_smallest
from core.jobs.budget.search_job import SearchJob
from core.jobs.budget.setup import SearchSetup
from core.jobs.budget.size import SearchTools
from core.jobs.budget.tuning import CandidateTuner, tuning_totals
from core.jobs.budget.within_bytes import best_of, make_choice, search_within_bytes
from core.jobs.budget.within_loss import search_within_loss, smallest_kept
from core.jobs.job import restoring
from core.jobs.quantize import quantized_layer
from core.models.parameters import prunable_weights
from core.models.saved import SavedModel
from core.search.halves import (
    HalfCheck,
    Right,
    answers_right,
    describe_half_b,
    half_images,
    halve_by_content,
    paired_counts,
)
from core.search.joint import AssembledNetwork
from core.search.memory import PackedCandidate, plain_table
from core.search.options import choices_of, layer_options
from core.search.table import MeasuringImages, measure_table


class BudgetJob(SearchJob):
    """One run of a BudgetRecipe on a trained network; see `core.jobs.job.Job`.

    recorded_accuracy: the test accuracy that the parent's run recorded, None if unknown.
    """

    def __init__(
        self,
        recipe: BudgetRecipe,
        parent: SavedModel,
        data_root: Path,
        checkpoint: Mapping[str, Any] | None = None,
        recorded_accuracy: float | None = None,
    ):
        super().__init__(recipe, parent, data_root, checkpoint)
        self._recorded_accuracy = recorded_accuracy
        self._right: dict[str, Right] = {}  # of the float network, by the half
        self._tuner: CandidateTuner | None = None
        self._most_bytes: int | None = None
        self._chosen: PackedCandidate | None = None
        if checkpoint is not None:
            with restoring():
                self._right = {half: right.numpy() for half, right in checkpoint["right"].items()}

    def events(self) -> Generator[Event, None, None]:
        """Test the parent, measure its layers, search, tune and test. Ends with Finished."""
        card = self.parent.card
        dataset = yield from self._load_dataset()
        network = self.parent.network().to(self.device).to(memory_format=torch.channels_last)
        halves = dict(zip("AB", halve_by_content(dataset.test), strict=True))
        images = {half: half_images(dataset, rows, self.device) for half, rows in halves.items()}
        names = list(prunable_weights(network))
        yield Note(f"{card.model} on {card.dataset}: {len(names)} layers, on {self.device}.")
        check_choices(self.recipe, self.parent)
        check_smallest(self.recipe, self.parent)
        yield from self._test_parent(network, images)
        # Tests of the float network and of the result come on top of the minutes.
        self._clock = self._new_clock()
        tools = yield from self._prepare_search(network, names, dataset, images["A"])
        if self.recipe.layers:
            self._chosen = yield from make_choice(tools, choices_of(self.recipe.layers))
        elif self._most_bytes is not None:
            self._chosen = yield from search_within_bytes(tools, self._most_bytes)
        else:
            assert self.recipe.lose is not None
            self._chosen = yield from search_within_loss(tools, self.recipe.lose)
        yield Quantized(
            {
                name: quantized_layer(self.parent.state[name], item)
                for name, item in quantized_items(self._chosen).items()
            },
            tuned=bool(self._chosen.epochs),
        )
        result = tools.maker.network_of(self._chosen)
        right = yield from answers_right(result, images["B"], "Testing the result on half B")
        counts = paired_counts(self._right["B"], right)
        yield Note(describe_half_b(counts))
        right_on_a = yield from answers_right(result, images["A"], "Testing the result on half A")
        yield Finished(self._summary(result, counts, float(right_on_a.mean())))

    def _test_parent(
        self, network: nn.Module, images: Mapping[str, DeviceImages]
    ) -> Generator[Event, None, None]:
        """Test the float network on half B, and on half A if that decides about the limit."""
        wanted = "B" if self.recipe.lose is None else "AB"
        for half in wanted:
            if half not in self._right:
                stage = f"Testing the float network on half {half}"
                self._right[half] = yield from answers_right(network, images[half], stage)
        if wanted == "AB" and self._saved is None:
            right = sum(int(right.sum()) for right in self._right.values())
            accuracy = right / sum(len(right) for right in self._right.values())
            difference = explain_other_record(accuracy, self._recorded_accuracy)
            if difference:
                yield Note(difference, level="warning")

    def _prepare_search(
        self, network: nn.Module, names: list[str], dataset: Dataset, half_a: DeviceImages
    ) -> Generator[Event, None, SearchTools]:
        """Check the limit, measure the layers, and return what the search works with."""
        card = self.parent.card
        setup = SearchSetup(self.recipe, card, dataset, network, names, self._memory)
        judging = setup.judging_batches()
        check = None
        if self.recipe.lose is not None:
            check = HalfCheck(half_a, self._right["A"])
        held_back = setup.held_back_batches()
        joint = setup.joint_batches()
        maker = CandidateMaker(
            self.recipe, self.parent, network, self._memory, held_back, joint, check
        )
        if not self.recipe.layers:
            yield from self._set_limit(maker)
            options = layer_options(self.recipe.kinds, setup.table.detail)
            measuring = MeasuringImages(setup.table_batches(), judging)
            yield from measure_table(network, names, options, measuring, self._memory.table)
            yield Note(setup.describe())
            yield LayersMeasured(plain_table(self._memory.table))
        saved = self._saved["tuning"] if self._saved is not None else None
        self._tuner = CandidateTuner(maker, setup.images, saved)
        return SearchTools(
            maker,
            AssembledNetwork(network, self._memory, judging),
            self._tuner,
            setup.images,
            setup.images.tuning(),
            setup.pace,
            self._clock,
            sum(len(batch) for batch in judging),
            assembles=bool(setup.table.images) or not joint,
        )

    def _set_limit(self, maker: CandidateMaker) -> Generator[Event, None, None]:
        """Set the most bytes of a limit of bytes."""
        smallest = yield from maker.smallest()
        float_bytes = codec.unpack(smallest.data).ledger.float_bytes
        self._most_bytes = self.recipe.byte_limit(float_bytes)
        if self._most_bytes is not None and len(smallest.data) > self._most_bytes:
            raise UserError(  # k-means may come to other clusters on a GPU than on the CPU
                f"{NOTHING_FITS} {self._most_bytes:,} bytes: the smallest has"
                f" {len(smallest.data):,}. Allow at least so many."
            )

    def checkpoint(self) -> dict[str, Any] | None:
        """Return all that is needed to continue from here, or None before anything is measured."""
        if not self._memory.decisions:
            return None
        return self._shared_checkpoint() | {
            "right": {half: torch.from_numpy(right) for half, right in self._right.items()},
            "tuning": self._checkpoint_of(self._tuner, "tuning"),
        }

    def result(self) -> dict[str, dict[str, Tensor]]:
        """Return the dequantized network, whose bits are those that the packed file holds.

        Before the end it is the best so far within the limit; empty if there is none.
        """
        best = self._best_so_far()
        return {} if best is None else {"model": codec.unpack(best.data).state()}

    def files(self) -> dict[str, bytes]:
        """Return the packed file; empty if there is none."""
        best = self._best_so_far()
        return {} if best is None else {"packed.secateur": best.data}

    def _best_so_far(self) -> PackedCandidate | None:
        made = self._memory.candidates.values()
        if self._chosen is not None or not made:
            return self._chosen
        if self.recipe.lose is not None:
            return smallest_kept(made, self.recipe.lose)
        limit = math.inf if self.recipe.layers else self._most_bytes
        return None if limit is None else best_of(made, limit)

    def _summary(self, network: nn.Module, counts: PairedCounts, half_a_accuracy: float) -> Summary:
        assert self._chosen is not None
        ledger = codec.unpack(self._chosen.data).ledger
        summary = self._summarize(network, counts, ledger, half_a_accuracy=half_a_accuracy)
        seconds, tuned = tuning_totals(self._memory)
        return summary.model_copy(
            update={
                "epochs": self._chosen.epochs,
                "train_seconds": seconds,
                "images_per_second": tuned / seconds if seconds else 0.0,
            }
        )
