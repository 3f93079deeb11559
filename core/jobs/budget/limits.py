"""Searches clusters or bits for each layer: within so many bytes, or within a loss of accuracy."""

import math
from collections.abc import Generator, Iterable

from torch import nn

from core.compress.quantization.weights import check_names
from core.config import BudgetRecipe
from core.errors import UserError
from core.events import Event, Note, judged_divergence
from core.inspect.behaviour.paired import PairedCounts
from core.jobs.budget.candidates import smallest_file, smallest_limit
from core.jobs.budget.size import SearchTools, SizeSearch
from core.models.parameters import prunable_weights
from core.models.saved import SavedModel
from core.search import plan
from core.search.halves import describe_loss, points_lost
from core.search.memory import PackedCandidate
from core.search.options import Choices

_MOST_PROBES = 6
_JOINTS_A_PROBE = 2  # how often layers are rounded together for one size, on average
_MOST_SAVED = 0.65
"""The share of an untuned size below which no tuned one is tried."""

_MOST_ATTEMPTS = 2
_RECALIBRATION_IMAGES = 14_000
"""Images whose forward passes take as long as re-estimating BatchNorm does."""

_CLOSE = 0.02
"""Sizes that differ by less than this share are not divided any more."""


def check_smallest(recipe: BudgetRecipe, parent: SavedModel) -> None:
    """Raise UserError if the recipe's limit of bytes is below the smallest file of a network."""
    if recipe.bytes is None and recipe.smaller is None:
        return
    ledger = smallest_file(recipe, parent)
    limit = recipe.byte_limit(ledger.float_bytes)
    if limit is not None and ledger.total > limit:
        smallest = smallest_limit(recipe, parent)
        raise UserError(
            f"No choice of clusters and bits gives a file of {limit:,} bytes: the smallest has"
            f" {smallest:,} bytes. Allow at least so many, or prune the network first."
        )


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
        f" {untuned.divergence:.4f} nats on held-back training images."
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


def check_choices(recipe: BudgetRecipe, parent: SavedModel) -> None:
    """Raise UserError if the recipe's choices name a layer that the network does not have."""
    check_names(recipe.layers, list(prunable_weights(parent.network())))


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

    return bool(tools.decide("recalibrate", is_affordable, 1 if _is_counted(tools) else None))


def _can_compete(tools: SearchTools) -> bool:
    """Whether there is time for a second candidate."""

    def is_affordable() -> float:
        return float(8 * tools.maker.seconds_a_candidate(tools.pace) < tools.clock.left)

    return bool(tools.decide("compete", is_affordable, 1 if _is_counted(tools) else None))


def _is_counted(tools: SearchTools) -> bool:
    """Whether the recipe says how much to do, so that the clock decides nothing."""
    return tools.maker.recipe.tuning_epochs is not None


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


# -- a limit of accuracy --


def search_within_loss(
    tools: SearchTools, points: float
) -> Generator[Event, None, PackedCandidate]:
    """Return the smallest candidate that loses at most so many points on half A.

    If none does, return the one that loses the least, and say by how much it misses the limit.
    """
    search = SizeSearch(tools)
    smallest = yield from tools.maker.smallest()
    low = len(smallest.data)
    high = max(low, search.largest_bytes())
    largest = yield from search.without_tuning(high, exchanging=False)
    if lost(smallest) <= points:
        return (yield from _choose(tools, points))
    is_kept = largest is not None and lost(largest) <= points
    if is_kept:
        high = yield from _bisect(search, low, high, points)
    yield from _tune_sizes(search, low, high, points, is_kept)
    return (yield from _choose(tools, points))


def _tune_sizes(
    search: SizeSearch, low: int, high: int, points: float, is_kept: bool
) -> Generator[Event, None, None]:
    """Tune networks of a few sizes, and look for the smallest that keeps the limit.

    is_kept: whether a size of `high` bytes keeps the limit without tuning. Tuning saves less than a
    third of it, or it would be another search. If none keeps it, `high` itself is tuned first.
    """
    tools = search.tools
    low = max(low, int(_MOST_SAVED * high))
    attempts = _count_attempts(tools)
    for attempt in range(attempts):
        size = int(math.sqrt(low * high)) if is_kept else high
        start = yield from search.without_tuning(size, alike=False)
        seconds = tools.clock.left / (attempts - attempt)
        tuned = [] if start is None else (yield from search.tune([start], seconds))
        kept = [one for one in tuned if lost(one) <= points]
        if kept:
            is_kept = True
            high = min(high, *(len(one.data) for one in kept))
        elif is_kept:
            low = size


def lost(candidate: PackedCandidate) -> float:
    """Return the points of accuracy that a candidate loses on half A."""
    return points_lost(_counts(candidate))


def _counts(candidate: PackedCandidate) -> PairedCounts:
    assert candidate.lost is not None, "a limit of accuracy measures each candidate"
    return PairedCounts(*candidate.lost)


def _bisect(search: SizeSearch, low: int, high: int, points: float) -> Generator[Event, None, int]:
    """Find the smallest size that keeps the limit without tuning, between one that breaks it and
    one that keeps it.
    """
    for _ in range(_count_probes(search.tools)):
        if high - low < _CLOSE * high:
            break
        size = int(math.sqrt(low * high))
        made = yield from search.without_tuning(size, alike=False)
        if made is not None and lost(made) <= points:
            high = len(made.data)
        else:
            low = size
    yield from search.alike(high - 1)
    return high


def _count_probes(tools: SearchTools) -> int:
    def affordable() -> float:
        seconds = _JOINTS_A_PROBE * tools.maker.seconds_a_candidate(tools.pace)
        return min(_MOST_PROBES, max(2, tools.clock.left / 2 // seconds))

    return tools.decide("probes", affordable, _MOST_PROBES if _is_counted(tools) else None)


def _count_attempts(tools: SearchTools) -> int:
    """Return how many sizes are tuned, each with as much time."""

    def affordable() -> float:
        training = len(tools.tuning_images)
        extra = tools.maker.images_a_candidate
        for attempts in range(_MOST_ATTEMPTS, 0, -1):
            start = _JOINTS_A_PROBE * tools.maker.seconds_a_candidate(tools.pace)
            seconds = tools.clock.left / attempts - start
            if plan.count_tuning_images(tools.pace, max(0.0, seconds), training, extra):
                return attempts
        return 0

    epochs = tools.maker.recipe.tuning_epochs
    wanted = None if epochs is None else (_MOST_ATTEMPTS if epochs else 0)
    return tools.decide("attempts", affordable, wanted)


def smallest_kept(made: Iterable[PackedCandidate], points: float) -> PackedCandidate | None:
    """Return the smallest candidate that loses at most so many points on half A, if any does."""
    kept = [one for one in made if one.lost is not None and lost(one) <= points]
    return min(kept, key=lambda one: (len(one.data), one.divergence), default=None)


def _choose(tools: SearchTools, points: float) -> Generator[Event, None, PackedCandidate]:
    made = list(tools.maker.memory.candidates.values())
    chosen = smallest_kept(made, points)
    if chosen is not None:
        yield Note(
            f"The smallest file that was tried and keeps the limit of {points:g} points has"
            f" {len(chosen.data):,} bytes. On half A of the test images it loses"
            f" {describe_loss(_counts(chosen))}."
        )
        return chosen
    nearest = min(made, key=lambda one: (lost(one), len(one.data)))
    yield Note(
        f"No size that was tried keeps the limit of {points:g} points. The nearest loses"
        f" {describe_loss(_counts(nearest))} on half A of the test images, which is"
        f" {lost(nearest) - points:.2f} points too many.",
        "warning",
    )
    return nearest
