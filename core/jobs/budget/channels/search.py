"""Searches the largest share of the channels with which a network is fast enough."""

from collections.abc import Generator
from dataclasses import dataclass

from torch import Tensor

from core.compress.pruning.selection import Scores
from core.compress.pruning.trained import density_of, score_trained
from core.config import BudgetRecipe, TrainedMethod
from core.events import Event, Note, Progress
from core.jobs.budget.channels.density import (
    Speed,
    largest_kept,
    nearest_density,
    next_density,
)
from core.jobs.budget.channels.masks import least_density, whole_channels
from core.jobs.budget.channels.speed import SpeedMeter, shapes_key
from core.jobs.budget.channels.thinned import Judge, ThinnedNetwork, smaller_of
from core.jobs.budget.channels.tuning import TUNING_SHARE, pruning_recipe
from core.jobs.choose_masks import images_to_score_on
from core.jobs.compression_images import CompressionImages
from core.models.card import ModelCard
from core.models.parameters import prunable_weights
from core.search.memory import Memory
from core.search.plan import Clock

_METHODS: tuple[TrainedMethod, ...] = ("channel-snip", "channel-magnitude")
_FEWEST_PROBES = 4  # of the first method, however long they take


@dataclass(frozen=True)
class _Probe:
    """What one density of a method came to. shapes: key of the network's shapes."""

    shapes: str
    divergence: float


class ChannelSearch:
    """Bisects the density of each method that removes channels, by the measured speed.

    judge: compares the answers. images: to score the channels on. meter: measures the speeds.
    """

    def __init__(
        self,
        recipe: BudgetRecipe,
        card: ModelCard,
        judge: Judge,
        images: CompressionImages,
        meter: SpeedMeter,
        memory: Memory,
        clock: Clock,
    ):
        assert recipe.faster is not None
        self._recipe = recipe
        self._faster = recipe.faster
        self._card = card
        self._judge = judge
        self._images = images
        self._meter = meter
        self._memory = memory
        self._clock = clock
        self._scores: dict[TrainedMethod, Scores] = {}
        self._probes: dict[TrainedMethod, dict[float, _Probe]] = {}

    def run(self) -> Generator[Event, None, ThinnedNetwork]:
        """Return the network of least divergence that is fast enough, or else the fastest one.

        Its speed is measured twice: what is only fast enough by chance is not taken.
        """
        yield from self._try(_METHODS[0])
        for method in _METHODS[1:]:
            if self._has_time(method):
                yield from self._try(method)
        while True:
            best = self._best()
            method, density = best or self._nearest()
            made = yield from self._measure(method, density, confirms=True)
            if made.speed.keeps(self._faster):
                return made
            if best is None:
                yield Note(describe_missed(made.speed, self._faster), "warning")
                return made
            yield from self._bisect(method)

    def _try(self, method: TrainedMethod) -> Generator[Event, None, None]:
        recipe = pruning_recipe(self._recipe, method)
        images = images_to_score_on(self._images)
        self._scores[method] = yield from score_trained(recipe, self._judge.network, images)
        self._probes[method] = {}
        yield from self._bisect(method)

    def _bisect(self, method: TrainedMethod) -> Generator[Event, None, None]:
        """Try densities until the largest fast one is known, or half of the time is over."""
        probes = self._probes[method]
        least = least_density(self._scores[method])
        most = density_of(prunable_weights(self._judge.network))
        while True:
            density = next_density(self._speeds(method), self._faster, least, most)
            if density is None:
                return
            if len(probes) >= _FEWEST_PROBES and not self._has_time(f"{method} {density!r}"):
                return
            yield Progress("Trying channels", len(probes), 0, "densities")
            yield from self._measure(method, density)

    def _has_time(self, name: str) -> bool:
        """Whether there is time for more, which is decided once."""

        def left() -> float:
            return float(self._clock.left > TUNING_SHARE * self._clock.seconds)

        return bool(self._memory.decide(f"time for {name}", left))

    def _speeds(self, method: TrainedMethod) -> dict[float, Speed]:
        probes = self._probes[method].items()
        return {density: self._meter.known(probe.shapes) for density, probe in probes}

    def _best(self) -> tuple[TrainedMethod, float] | None:
        """Return the method and the density of least divergence that are fast enough."""
        kept = {
            method: density
            for method in self._probes
            if (density := largest_kept(self._speeds(method), self._faster)) is not None
        }
        pairs = kept.items()
        return min(pairs, key=lambda pair: self._probes[pair[0]][pair[1]].divergence, default=None)

    def _nearest(self) -> tuple[TrainedMethod, float]:
        """Return the method and the density whose interval begins highest."""
        pairs = [(method, nearest_density(self._speeds(method))) for method in self._probes]
        return max(pairs, key=lambda pair: self._speeds(pair[0])[pair[1]].least)

    def _masks(self, method: TrainedMethod, density: float) -> dict[str, Tensor]:
        return whole_channels(self._scores[method], density)

    def _measure(
        self, method: TrainedMethod, density: float, *, confirms: bool = False
    ) -> Generator[Event, None, ThinnedNetwork]:
        """Measure a network's speed and its answers. Ends with the event that reports it.

        confirms: whether the speed is measured for longer.
        """
        masks = self._masks(method, density)
        network = self._judge.thinned(masks, self._images)
        smaller = smaller_of(network, self._card).network
        measure = self._meter.confirm if confirms else self._meter.measure
        speed = yield from measure(smaller)
        key = f"{method} {density!r}"
        known = self._memory.divergences
        if key not in known:
            known[key] = self._judge.divergence(network)
        self._probes[method][density] = _Probe(shapes_key(smaller), known[key])
        made = ThinnedNetwork(method, masks, network.state_dict(), speed, known[key])
        yield made.event()
        return made


def describe_missed(speed: Speed, faster: float) -> str:
    """Say by how much the limit is missed."""
    return (
        f"No number of channels that was tried makes the network {faster:g}x as fast for certain."
        f" The nearest is {speed.speedup:.2f}x as fast (95% {speed.least:.2f} to {speed.most:.2f}):"
        f" the lower end misses the limit by {faster - speed.least:.2f}x."
    )
