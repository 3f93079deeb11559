"""Makes the best candidates of one size: choose, move bytes, round together, pack, tune."""

from bisect import bisect_right
from collections.abc import Callable, Generator
from dataclasses import dataclass

from core.data.batches import DeviceImages
from core.events import Event, Note
from core.jobs.budget.candidates import CandidateMaker
from core.jobs.budget.tuning import CandidateTuner
from core.jobs.compression_images import CompressionImages
from core.search import plan
from core.search.joint import AssembledNetwork, Steps, choices_at
from core.search.knapsack import OptionCost, Selection, best_selection_within, best_selections
from core.search.memory import PackedCandidate
from core.search.moves import bytes_of, exchange, step_down
from core.search.options import Choices, LayerOption, uniform_options, units_of

_MOST_JOINTS = 4
"""How often layers are rounded together, to come below a number of bytes."""

_SLACK = 400
"""Of so many bytes one more is saved, because rounding again changes the size a little."""

_GROWTH = 1.025
"""How much larger layers are after compensated rounding than after nearest rounding."""

_UNIFORM_COST = 10
"""How many times the time of a candidate must be left, to try one number for all layers."""

_HALVING_EPOCHS = 6
"""Epochs of tuning from which on two candidates compete first."""


@dataclass(frozen=True, eq=False)
class SearchTools:
    """What a search works with, once the table is complete.

    maker: also has the recipe and the memory. images: of the compression. tuning_images: those to
    tune on, if the time allows all. judging: number of images on which exchanges are compared.
    assembles: whether the layers as they are in the table make a candidate of their own. Those with
    nearest rounding do not, if all layers can be rounded together with compensation.
    """

    maker: CandidateMaker
    assembled: AssembledNetwork
    tuner: CandidateTuner
    images: CompressionImages
    tuning_images: DeviceImages
    pace: plan.SearchPace
    clock: plan.Clock
    judging: int
    assembles: bool

    def decide(self, name: str, affordable: Callable[[], float], wanted: float | None) -> int:
        """Return `wanted` if it is given, and otherwise what the time allows, decided once."""
        if wanted is not None:
            return int(wanted)
        return int(self.maker.memory.decide(name, affordable))


class SizeSearch:
    """Searches the best network whose file has at most a number of bytes.

    tools: what it works with. frontier: the selections that no other one beats by the table, by
    ascending bytes.
    """

    def __init__(self, tools: SearchTools):
        self.tools = tools
        self._table = tools.maker.memory.table
        costs = {
            name: [OptionCost(option.bytes, option.damage) for option in options]
            for name, options in self._table.items()
        }
        self.frontier: list[Selection] = best_selections(costs)

    def largest_bytes(self) -> int:
        """Return the size of the file with the least damage by the table."""
        return self.tools.maker.packed_bytes(self.frontier[-1].choices)

    def without_tuning(
        self, most_bytes: int, exchanging: bool = True, alike: bool = True
    ) -> Generator[Event, None, PackedCandidate | None]:
        """Return the candidate of least divergence within the bytes; None if none was found.

        exchanging: move bytes between layers as often as the time allows. With nearest rounding in
        the table, their measurements say little about compensated rounding. alike: also try one
        number for all layers.
        """
        steps = yield from self._choose_steps(most_bytes, exchanging)
        made = yield from self._join_within(steps, most_bytes)
        if alike:
            made += yield from self.alike(most_bytes)
        return min(made, key=lambda one: (one.divergence, len(one.data)), default=None)

    def _choose_steps(
        self, most_bytes: int, exchanging: bool
    ) -> Generator[Event, None, Steps | None]:
        """Choose an option for each layer; None if not even the smallest ones fit."""
        first = best_selection_within(self.frontier, most_bytes)
        if first is None:
            return None
        overhead = self.tools.maker.packed_bytes(first.choices) - first.bytes
        spare = most_bytes - overhead
        if not self.tools.assembles:
            spare = int(spare / _GROWTH)
        selection = best_selection_within(self.frontier, spare)
        if selection is None:
            return None
        if exchanging and self.tools.assembles:
            return (yield from self._exchange(selection.choices, spare))
        return selection.choices

    def _join_within(
        self, steps: Steps | None, most_bytes: int
    ) -> Generator[Event, None, list[PackedCandidate]]:
        """Round the choices together, and take steps down until the file is within the bytes."""
        maker = self.tools.maker
        measure = self.tools.assembled.divergence if self.tools.assembles else None
        made = []
        for _ in range(_MOST_JOINTS):
            if steps is None:
                break
            joint = yield from maker.join(choices_at(maker.memory, steps))
            made.append(joint)
            if self.tools.assembles:
                made.append((yield from maker.assemble(steps)))
            excess = len(joint.data) - most_bytes
            if excess <= 0:
                break
            saved = excess + most_bytes // _SLACK
            steps = step_down(self._table, steps, saved, measure)
        return [one for one in made if len(one.data) <= most_bytes]

    def alike(self, most_bytes: int) -> Generator[Event, None, list[PackedCandidate]]:
        """Make the best networks whose layers are all alike, one for clusters and one for bits.

        So a search with enough time is never worse than one number for all layers, of those that a
        layer may have.
        """
        made: list[PackedCandidate] = []
        if not self._can_be_uniform():
            return made
        for unit in units_of(self.tools.maker.recipe.kinds):
            options = uniform_options(unit)
            count = bisect_right(options, most_bytes, key=self._nearest_bytes)
            # Rounded together it grows a little, so that the first or the next one is within.
            for option in reversed(options[max(0, count - 2) : count]):
                one = yield from self.tools.maker.join(self._alike(option))
                if len(one.data) <= most_bytes:
                    made.append(one)
                    break
        return made

    def _can_be_uniform(self) -> bool:
        """Whether there is time for two more candidates."""
        tools = self.tools

        def is_affordable() -> float:
            seconds = tools.maker.seconds_a_candidate(tools.pace) + 4 * tools.pace.option
            return float(_UNIFORM_COST * seconds < tools.clock.left)

        wanted = 1 if tools.maker.recipe.is_counted else None
        return bool(tools.decide("uniform", is_affordable, wanted))

    def _nearest_bytes(self, option: LayerOption) -> int:
        maker = self.tools.maker
        name = f"bytes of {option.number} {option.unit}"
        return int(maker.memory.decide(name, lambda: maker.nearest_bytes(self._alike(option))))

    def _alike(self, option: LayerOption) -> Choices:
        return dict.fromkeys(self._table, option)

    def _exchange(self, steps: Steps, spare: int) -> Generator[Event, None, Steps]:
        tools = self.tools
        trials = tools.decide(
            f"trials {spare}",
            lambda: plan.count_trials(tools.pace, tools.clock.left, tools.judging),
            tools.maker.recipe.trials,
        )
        measure = tools.assembled.divergence
        moved = yield from exchange(self._table, steps, spare, measure, trials)
        if trials:
            yield Note(
                f"Moved bytes between layers in {trials:,} trials: KL divergence"
                f" {measure(steps):.4f} -> {measure(moved):.4f} nats, with each layer rounded alone"
                f" ({bytes_of(self._table, moved):,} bytes in the layers)."
            )
        return moved

    def tune(
        self, candidates: list[PackedCandidate], seconds: float | None = None
    ) -> Generator[Event, None, list[PackedCandidate]]:
        """Tune the best of these candidates, and return what came of it; empty without time.

        Two of them compete first if there are many epochs. seconds: for this tuning; if not given,
        all that are left.
        """
        epochs, images = self._tuning_amount(candidates[0], seconds)
        if not epochs:
            return []
        tuner = self.tools.tuner
        first_epochs = epochs // 4
        tuned: list[PackedCandidate] = []
        winner = candidates[0]
        if epochs >= _HALVING_EPOCHS and len(candidates) > 1:
            least: list[tuple[float, PackedCandidate]] = []
            for candidate in candidates[:2]:
                made = yield from tuner.tune(candidate, first_epochs, images)
                tuned += made
                least.append((min(one.divergence for one in made), candidate))
            _, winner = min(least, key=lambda pair: pair[0])
            epochs -= 2 * first_epochs
        tuned += yield from tuner.tune(winner, epochs, images)
        return tuned

    def _tuning_amount(
        self, start: PackedCandidate, seconds: float | None
    ) -> tuple[int, int | None]:
        """Return the number of epochs and of images in each of them, None for all."""
        tools = self.tools
        training = len(tools.tuning_images)
        recipe = tools.maker.recipe
        if recipe.tuning_epochs is not None:
            return recipe.tuning_epochs, None
        images = tools.decide(
            f"tuning images {len(start.data)}",
            lambda: plan.count_tuning_images(
                tools.pace,
                tools.clock.left if seconds is None else seconds,
                training,
                tools.maker.images_a_candidate,
            ),
            None,
        )
        if images >= training:
            return images // training, None
        return (1, max(2, images)) if images else (0, None)
