"""Makes a network so many times faster: removes channels, tunes the rest, packs and tests."""

from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core.accuracy import best_epoch
from core.compress import codec
from core.compress.masks import counts as mask_counts
from core.config import BudgetRecipe
from core.events import Event, Finished, Note, Pruned, Summary, judged_divergence
from core.inspect.behaviour.paired import PairedCounts
from core.jobs.budget.channels.density import describe_speedup
from core.jobs.budget.channels.masks import check_channels
from core.jobs.budget.channels.search import ChannelSearch
from core.jobs.budget.channels.setup import ThinningSetup
from core.jobs.budget.channels.speed import SpeedMeter
from core.jobs.budget.channels.thinned import ThinnedNetwork, smaller_of
from core.jobs.budget.channels.tuning import ChannelTuning, describe_short_tuning
from core.jobs.budget.search_job import SearchJob
from core.jobs.job import restoring
from core.models.saved import SavedModel
from core.search.halves import (
    Right,
    answers_right,
    describe_half_b,
    half_images,
    halve_by_content,
    paired_counts,
)
from core.training.history import History

_CALIBRATION_IMAGES = 64
"""Images for 8-bit integers that are only timed. Their accuracy is not used."""


class FasterJob(SearchJob):
    """One run of a BudgetRecipe with a limit of time; see `core.jobs.job.Job`.

    Times are measured on the CPU.
    """

    def __init__(
        self,
        recipe: BudgetRecipe,
        parent: SavedModel,
        data_root: Path,
        checkpoint: Mapping[str, Any] | None = None,
    ):
        super().__init__(recipe, parent, data_root, checkpoint)
        self._right: Right | None = None  # of the float network, on half B
        self._meter: SpeedMeter | None = None
        self._start: ThinnedNetwork | None = None
        self._tuning: ChannelTuning | None = None
        self._result: ThinnedNetwork | None = None
        self._packed = b""
        if checkpoint is not None:
            with restoring():
                self._right = checkpoint["right"].numpy()
                if checkpoint["start"] is not None:
                    self._start = ThinnedNetwork.restore(checkpoint["start"])

    def events(self) -> Generator[Event, None, None]:
        """Test the parent, search the channels, tune, pack and test. Ends with Finished."""
        card = self.parent.card
        dataset = yield from self._load_dataset()
        check_channels(self.parent)
        network = self.parent.network().to(self.device).to(memory_format=torch.channels_last)
        _, rows = halve_by_content(dataset.test)
        half_b = half_images(dataset, rows, self.device)
        yield Note(f"{card.model} on {card.dataset}: removing channels, on {self.device}.")
        if self._right is None:
            stage = "Testing the float network on half B"
            self._right = yield from answers_right(network, half_b, stage)
        # Tests of the float network and of the result come on top of the minutes.
        self._clock = self._new_clock()
        setup = ThinningSetup(self.recipe, card, dataset, network, self._memory)
        meter = self._make_meter(setup)
        if self._start is None:
            search = ChannelSearch(
                self.recipe, card, setup.judge, setup.images, meter, self._memory, self._clock
            )
            self._start = yield from search.run()
        chosen = yield from self._tune(self._start, setup)
        result = self.parent.network().to(self.device).to(memory_format=torch.channels_last)
        smaller = yield from self._pack(chosen, result, meter)
        int8 = yield from meter.compare_int8(smaller, setup.pixels(_CALIBRATION_IMAGES))
        if int8 is not None:
            yield int8
        right = yield from answers_right(result, half_b, "Testing the result on half B")
        counts = paired_counts(self._right, right)
        yield Note(describe_half_b(counts))
        yield Finished(self._summary(result, counts))

    def _make_meter(self, setup: ThinningSetup) -> SpeedMeter:
        network = self.parent.network()
        self._meter = SpeedMeter(network, self.parent.card, setup.pixels(1), setup.seconds)
        if self._saved is not None and self._saved["speeds"] is not None:
            with restoring():
                self._meter.restore(self._saved["speeds"])
        return self._meter

    def _tune(
        self, start: ThinnedNetwork, setup: ThinningSetup
    ) -> Generator[Event, None, ThinnedNetwork]:
        """Tune the network, and return the better one of the two, which are as fast."""
        epochs, count = setup.tuning_amount(self._clock)
        if count is not None or (not epochs and self.recipe.tuning_epochs is None):
            yield Note(describe_short_tuning(count), "warning")
        if not epochs:
            return start
        tuning = setup.tuning(start, epochs, count)
        if self._saved is not None and self._saved["tuning"] is not None:
            with restoring():
                tuning.restore(self._saved["tuning"])
        else:
            tuning.begin(start.masks, self.recipe.seed)
        self._tuning = tuning
        while not tuning.is_finished:
            divergence = yield from tuning.train_epoch()
            tuned = replace(start, divergence=divergence, epochs=len(tuning.history.rows))
            yield tuned.event()
        best = best_epoch(tuning.history.rows)
        state = tuning.history.best
        tuned = replace(start, divergence=best["divergence"], epochs=best["epoch"], state=state)
        if judged_divergence(tuned.divergence, tuned.epochs) < start.divergence:
            return tuned
        yield Note("Tuning did not come clearly closer to the float network, so it is not used.")
        return start

    def _pack(
        self, chosen: ThinnedNetwork, network: nn.Module, meter: SpeedMeter
    ) -> Generator[Event, None, nn.Module]:
        """Pack the network, and measure it without its removed channels, which is returned.

        network: it gets the weights that the file holds.
        """
        content = {name: chosen.state[name] for name in self.parent.state}
        data, _ = codec.pack(content, self.card(), self.recipe.rest)
        state = codec.unpack(data).state()
        network.load_state_dict(state)
        smaller = smaller_of(network, self.parent.card)
        yield from smaller.notes()
        speed = yield from meter.confirm(smaller.network)
        self._packed = data
        self._result = replace(chosen, state=state, speed=speed)
        yield self._result.event()
        assert self.recipe.faster is not None
        yield Note(describe_speedup(speed, self.recipe.faster))
        pairs = mask_counts(chosen.masks)
        kept = sum(kept for kept, _ in pairs.values())
        total = sum(total for _, total in pairs.values())
        yield Pruned(kept, total, {name: list(pair) for name, pair in pairs.items()})
        return smaller.network

    def checkpoint(self) -> dict[str, Any] | None:
        """Return all that is needed to continue from here, or None before anything is known."""
        if self._right is None:
            return None
        return self._shared_checkpoint() | {
            "right": torch.from_numpy(self._right),
            "speeds": self._checkpoint_of(self._meter, "speeds"),
            "start": None if self._start is None else self._start.checkpoint(),
            "tuning": self._checkpoint_of(self._tuning, "tuning"),
        }

    def result(self) -> dict[str, dict[str, Tensor]]:
        """Return the network as the packed file holds it, and its masks; empty before the end."""
        if self._result is None:
            return {}
        return {"model": self._result.state, "masks": self._result.masks}

    def files(self) -> dict[str, bytes]:
        """Return the packed file; empty before the end."""
        return {"packed.secateur": self._packed} if self._packed else {}

    def _summary(self, network: nn.Module, counts: PairedCounts) -> Summary:
        assert self._result is not None
        ledger = codec.unpack(self._packed).ledger
        speed = self._result.speed
        history = History() if self._tuning is None else self._tuning.history
        summary = self._summarize(
            network,
            counts,
            ledger,
            milliseconds=speed.milliseconds,
            parent_milliseconds=speed.parent_milliseconds,
            speedup=speed.speedup,
            speedup_interval=(speed.least, speed.most),
        )
        return summary.model_copy(
            update={
                "epochs": self._result.epochs,
                "train_seconds": history.train_seconds,
                "images_per_second": history.images_per_second,
            }
        )
