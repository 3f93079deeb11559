"""Searches clusters or bits for each layer, so that the packed file has at most so many bytes."""

import math
from collections.abc import Generator, Iterable

from torch import nn

from core.events import Event, Note, judged_divergence
from core.jobs.budget.size import SearchTools, SizeSearch
from core.search.memory import PackedCandidate
from core.search.options import Choices

_RECALIBRATION_IMAGES = 14_000
"""Images whose forward passes take as long as re-estimating BatchNorm does."""


def search_within_bytes(
    tools: SearchTools, most_bytes: int
) -> Generator[Event, None, PackedCandidate]:
    """Return the candidate of least divergence whose file has at most so many bytes.

    The smallest file there is must have no more.
    """
    search = SizeSearch(tools)
    starts = []
    best = yield from search.without_tuning(most_bytes)
    if best is not None:
        if _can_recalibrate(tools):
            yield from tools.maker.recalibrated(best, tools.images)
        starts.append(best)
        if _can_compete(tools):
            other = yield from search.without_tuning(most_bytes, exchanging=False)
            if other is not None and other.choices != best.choices:
                starts.append(other)
        starts.sort(key=lambda candidate: candidate.divergence)
    untuned = best_of(tools.maker.memory.candidates.values(), most_bytes)
    yield Note(
        f"Before tuning: {len(untuned.data):,} of {most_bytes:,} bytes, KL divergence"
        f" {untuned.divergence:.4f} nats on blends of held-back training"
        " images."
    )
    tuned = yield from search.tune(starts or [untuned])
    chosen = best_of(tools.maker.memory.candidates.values(), most_bytes)
    if tuned:
        yield Note(_describe_tuning(tuned, chosen, most_bytes))
    return chosen


def make_choice(tools: SearchTools, choices: Choices) -> Generator[Event, None, PackedCandidate]:
    """Return the best network with these choices: rounded together, re-estimated and tuned."""
    made = yield from tools.maker.join(choices)
    if _can_recalibrate(tools):
        yield from tools.maker.recalibrated(made, tools.images)
    yield from SizeSearch(tools).tune([made])
    return best_of(tools.maker.memory.candidates.values(), math.inf)


def best_of(candidates: Iterable[PackedCandidate], most_bytes: float) -> PackedCandidate:
    """Return the candidate of least judged divergence within the bytes, the smaller of equals."""
    within = [candidate for candidate in candidates if len(candidate.data) <= most_bytes]
    return min(
        within, key=lambda one: (judged_divergence(one.divergence, one.epochs), len(one.data))
    )


def _can_recalibrate(tools: SearchTools) -> bool:
    """Whether there is BatchNorm, and time to estimate its statistics again."""
    layers = tools.maker.network.modules()
    if not any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in layers):
        return False

    def is_affordable() -> float:
        return float(_RECALIBRATION_IMAGES * tools.pace.image < tools.clock.left / 10)

    return bool(
        tools.decide("recalibrate", is_affordable, 1 if tools.maker.recipe.is_counted else None)
    )


def _can_compete(tools: SearchTools) -> bool:
    """Whether there is time for a second candidate."""

    def is_affordable() -> float:
        return float(8 * tools.maker.seconds_a_candidate(tools.pace) < tools.clock.left)

    return bool(
        tools.decide("compete", is_affordable, 1 if tools.maker.recipe.is_counted else None)
    )


def _describe_tuning(tuned: list[PackedCandidate], chosen: PackedCandidate, most_bytes: int) -> str:
    within = [candidate for candidate in tuned if len(candidate.data) <= most_bytes]
    if not within:
        least = min(len(candidate.data) for candidate in tuned)
        return (
            f"Tuning made the file {least - most_bytes:,} bytes larger than the limit, so the"
            " network before tuning is the result."
        )
    if not chosen.epochs:
        closest = min(one.divergence for one in within)
        return (
            f"Tuning did not come clearly closer to the float network (KL divergence {closest:.4f}"
            " nats), so its result is not used."
        )
    return (
        f"Epochs of tuning: {chosen.epochs}. {len(chosen.data):,} bytes, KL divergence"
        f" {chosen.divergence:.4f} nats."
    )
