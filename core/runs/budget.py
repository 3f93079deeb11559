"""Reads what a budget run has tried from its events, and whether its limit is kept.

Nothing here needs torch, because a page reads it every second while the run works.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from core.config import BudgetRecipe
from core.events import (
    Candidate,
    CandidateFigures,
    Event,
    Summary,
    ThinnedCandidate,
    ThinnedFigures,
    judged_divergence,
)

EventRows = Iterable[Mapping[str, Any]]
"""Events as plain data, as `RunStore.events` returns them."""


@dataclass(frozen=True)
class _Numbered:
    number: int


@dataclass(frozen=True)
class TriedCandidate(CandidateFigures, _Numbered):
    """A choice for all layers that was tried together.

    number: of the candidate, counted from 1 in the order in which they were tried.
    """


@dataclass(frozen=True)
class TriedSpeed(ThinnedFigures, _Numbered):
    """A network without some channels that was measured.

    number: counted from 1 in the order in which they were tried.
    """


@dataclass(frozen=True)
class LimitOutcome:
    """How a result compares with the limit of its run.

    slack: what is left until the limit, in bytes, in percentage points or in times; below 0 if it
    is broken. unit: "bytes", "points" or "times". uncertain: how far the end of the 95% interval of
    the points or of the times is beyond the limit; 0 or less if it is within.
    """

    slack: float
    unit: str
    uncertain: float = 0.0

    @property
    def is_kept(self) -> bool:
        return self.slack >= 0 and self.uncertain <= 0


def tried_candidates(events: EventRows) -> list[TriedCandidate]:
    """Return the candidates of a run in order, each once.

    A run that continues after a kill reports those again that its last checkpoint did not hold.
    """
    tried = _each_once(events, Candidate)
    for figures in tried:  # older runs did not write down the end of the interval
        figures.setdefault("most_lost", figures.get("lost"))
    return [TriedCandidate(number, **figures) for number, figures in enumerate(tried, 1)]


def tried_speeds(events: EventRows) -> list[TriedSpeed]:
    """Return the networks that a run with a limit of time has tried in order, each once."""
    tried = _each_once(events, ThinnedCandidate)
    return [TriedSpeed(number, **figures) for number, figures in enumerate(tried, 1)]


def _each_once(events: EventRows, kind: type[Event]) -> list[dict[str, Any]]:
    """Return the figures of the events of one kind in order, each once, without their time."""
    names = [field.name for field in fields(kind) if field.name != "time"]
    rows = (event for event in events if event["event"] == kind.__name__.lower())
    tried = [{name: event[name] for name in names if name in event} for event in rows]
    return list({repr(figures): figures for figures in tried}.values())


def best_speed(recipe: BudgetRecipe, tried: Sequence[TriedSpeed]) -> TriedSpeed | None:
    """Return the network of least divergence that is fast enough; None if none is."""
    faster = recipe.faster or math.inf
    return min(
        (made for made in tried if made.least >= faster),
        key=lambda made: judged_divergence(made.divergence, made.epochs),
        default=None,
    )


def chosen_speed(tried: Sequence[TriedSpeed], summary: Summary) -> TriedSpeed | None:
    """Return the network with which a finished run ended; None if its events are gone."""
    figures = (summary.speedup, summary.milliseconds, summary.epochs)
    same = [made for made in tried if (made.speedup, made.milliseconds, made.epochs) == figures]
    return min(same, key=lambda made: made.divergence, default=None)


def measured_damage(events: EventRows) -> dict[str, list[dict[str, Any]]]:
    """Return the options of each layer as in the event LayersMeasured; empty before it."""
    measured: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        if event["event"] == "layersmeasured":
            measured = event["layers"]
    return measured


def best_so_far(
    recipe: BudgetRecipe, tried: Sequence[TriedCandidate], most_bytes: int | None
) -> TriedCandidate | None:
    """Return the candidate with which the run would end now; None if none keeps the limit.

    most_bytes: the limit in bytes, None if there is none.
    """
    if recipe.lose is not None:
        kept = [
            made for made in tried if made.most_lost is not None and made.most_lost <= recipe.lose
        ]
        return min(kept, key=lambda made: (made.bytes, made.divergence), default=None)
    within = [made for made in tried if most_bytes is None or made.bytes <= most_bytes]
    return min(
        within,
        key=lambda made: (judged_divergence(made.divergence, made.epochs), made.bytes),
        default=None,
    )


def chosen_candidate(tried: Sequence[TriedCandidate], summary: Summary) -> TriedCandidate | None:
    """Return the candidate with which a finished run ended; None if its events are gone."""
    same = [
        made
        for made in tried
        if (made.bytes, made.epochs) == (summary.packed_bytes, summary.epochs)
    ]
    return min(same, key=lambda made: made.divergence, default=None)


def limit_outcome(
    recipe: BudgetRecipe, chosen: TriedCandidate | None, summary: Summary
) -> LimitOutcome | None:
    """Return how the result of a finished run compares with its limit.

    None if the recipe has no limit, or if it is not known what the result lost on half A.
    """
    if recipe.faster is not None:
        if summary.speedup is None or summary.speedup_interval is None:
            return None
        least, _ = summary.speedup_interval
        return LimitOutcome(summary.speedup - recipe.faster, "times", recipe.faster - least)
    if recipe.lose is not None:
        if chosen is None or chosen.lost is None or chosen.most_lost is None:
            return None
        uncertain = chosen.most_lost - recipe.lose
        return LimitOutcome(recipe.lose - chosen.lost, "points", uncertain)
    most = recipe.byte_limit(summary.float_bytes)
    if most is None or summary.packed_bytes is None:
        return None
    return LimitOutcome(most - summary.packed_bytes, "bytes")
