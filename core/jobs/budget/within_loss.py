"""Searches the fewest bytes that lose at most so many points of accuracy on half A."""

import math
from collections.abc import Generator, Iterable

from core.events import Event, Note
from core.inspect.behaviour.paired import PairedCounts, describe_loss, least_shown, most_lost
from core.jobs.budget.size import SearchTools, SizeSearch
from core.search import plan
from core.search.memory import PackedCandidate

_MOST_PROBES = 6
_FEWEST_PROBES = 2
_JOINTS_A_PROBE = 2  # how often layers are rounded together for one size, on average
_MOST_SAVED = 0.65
"""The share of an untuned size below which no tuned one is tried."""

_MOST_ATTEMPTS = 2
_CLOSE = 0.02
"""Sizes that differ by less than this share are not divided any more."""


def search_within_loss(
    tools: SearchTools, points: float
) -> Generator[Event, None, PackedCandidate]:
    """Return the smallest candidate that loses at most so many points on half A.

    The upper end of the loss's 95% interval must be within the limit. If no candidate is, return
    the one with the lowest end, and say by how much it misses the limit.
    """
    smallest = yield from tools.maker.smallest()
    reachable = max(points, least_shown(_counts(smallest).images))
    if reachable > points:
        yield Note(_describe_few_images(_counts(smallest).images, points, reachable), "warning")
    yield from _search_sizes(SizeSearch(tools), smallest, reachable)
    return (yield from _choose(tools, points))


def _search_sizes(
    search: SizeSearch, smallest: PackedCandidate, points: float
) -> Generator[Event, None, None]:
    """Make candidates of several sizes, to find the smallest that keeps the limit."""
    low = len(smallest.data)
    high = max(low, search.largest_bytes())
    largest = yield from search.without_tuning(high, exchanging=False)
    if keeps(smallest, points):
        return
    is_kept = largest is not None and keeps(largest, points)
    if is_kept:
        high = yield from _bisect(search, low, high, points)
    yield from _tune_sizes(search, low, high, points, is_kept)


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
        kept = [one for one in tuned if keeps(one, points)]
        if kept:
            is_kept = True
            high = min(high, *(len(one.data) for one in kept))
        elif is_kept:
            low = size


def keeps(candidate: PackedCandidate, points: float) -> bool:
    """Whether a candidate loses at most so many points on half A, at the end of the interval."""
    return most_lost(_counts(candidate)) <= points


def _counts(candidate: PackedCandidate) -> PairedCounts:
    assert candidate.lost is not None, "a limit of accuracy measures each candidate"
    return PairedCounts(*candidate.lost)


def _bisect(search: SizeSearch, low: int, high: int, points: float) -> Generator[Event, None, int]:
    """Find the smallest size that keeps the limit without tuning, between one that breaks it and
    one that keeps it.
    """
    reserve = _seconds_for_tuning(search.tools)
    for probe in range(_MOST_PROBES):
        if high - low < _CLOSE * high or not _can_probe(search.tools, probe, reserve):
            break
        size = int(math.sqrt(low * high))
        made = yield from search.without_tuning(size, alike=False)
        if made is not None and keeps(made, points):
            high = len(made.data)
        else:
            low = size
    yield from search.alike(high - 1)
    return high


def _seconds_for_tuning(tools: SearchTools) -> int:
    """Return the part of the time left that probes leave to tuning: half, if there is any."""
    has_tuning = tools.maker.recipe.tuning_epochs != 0
    share = 0.5 if has_tuning else 0.0
    return tools.decide("tuning seconds", lambda: share * tools.clock.left, None)


def _can_probe(tools: SearchTools, probe: int, reserve: float) -> bool:
    """Whether there is time for one more size. The first ones are always tried.

    probe: its number, from 0. reserve: seconds that must be left over.
    """

    def is_affordable() -> float:
        seconds = _JOINTS_A_PROBE * tools.maker.seconds_a_candidate(tools.pace)
        return float(probe < _FEWEST_PROBES or seconds < tools.clock.left - reserve)

    return bool(
        tools.decide(f"probe {probe}", is_affordable, 1 if tools.maker.recipe.is_counted else None)
    )


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
    """Return the smallest candidate that keeps the limit on half A, if any does."""
    kept = [one for one in made if one.lost is not None and keeps(one, points)]
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
    nearest = min(made, key=lambda one: (most_lost(_counts(one)), len(one.data)))
    yield Note(
        f"No size that was tried surely keeps the limit of {points:g} points. The nearest loses"
        f" {describe_loss(_counts(nearest))} on half A of the test images. The end of the interval"
        f" is {most_lost(_counts(nearest)) - points:.2f} points too high.",
        "warning",
    )
    return nearest


def _describe_few_images(images: int, points: float, reachable: float) -> str:
    return (
        f"Half A of the test images has {images:,}. So few cannot show that less than"
        f" {reachable:.2f} points are lost, even if no answer changes. The search goes by that"
        f" instead of the limit of {points:g} points."
    )
