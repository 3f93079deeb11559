"""The search of a budget run as it works: the candidates, the limit, and the picked layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from core.config import BudgetRecipe
from core.runs.budget import (
    EventRows,
    TriedCandidate,
    best_so_far,
    chosen_candidate,
    measured_damage,
    tried_candidates,
)
from core.runs.run import Run
from core.runs.store import RunStore
from pages.parts.budget.search.picked import draw_picked, pick, picked_number
from pages.parts.budget.search.speeds import draw_speeds
from pages.parts.budget.sizes import float_bytes_of_run

if TYPE_CHECKING:
    from core.charts.frontier import BudgetMarks, Cost

_COSTS: "dict[Cost, str]" = {"divergence": "KL divergence", "most_lost": "Accuracy lost on half A"}


@dataclass(frozen=True)
class _Search:
    """What a run has tried. most_bytes: its limit in bytes. chosen: the result, if there is one.

    picked: the candidate whose layers are shown, at first the result or the best so far.
    """

    run: Run
    recipe: BudgetRecipe
    tried: Sequence[TriedCandidate]
    most_bytes: int | None
    chosen: TriedCandidate | None
    picked: TriedCandidate


def draw_search(store: RunStore, run: Run) -> None:
    """Draw the candidates that a budget run has tried so far. Call it again while it works."""
    events = store.events(run.id)
    if isinstance(run.recipe, BudgetRecipe) and run.recipe.faster is not None:
        draw_speeds(run, run.recipe, events)
        return
    search = _search_of(store, run, events)
    if search is not None:
        _draw_chart(search)
        draw_picked(store, run, search.tried, search.picked, measured_damage(events))
    elif run.active:
        _draw_place()


def _draw_place() -> None:
    """Keep the place of the chart until the first candidate is there."""
    from core.charts.frontier import HEIGHT  # imports altair

    st.skeleton(HEIGHT)
    st.caption(
        "The candidates come here as they are tried: the smallest file first, and the others once"
        " all layers are measured."
    )


def _search_of(store: RunStore, run: Run, events: EventRows) -> _Search | None:
    """Return what the events tell of the search; None before the first candidate."""
    recipe = run.recipe
    assert isinstance(recipe, BudgetRecipe)
    tried = tried_candidates(events)
    if not tried:
        return None
    most = recipe.byte_limit(float_bytes_of_run(store, run))
    summary = run.status.summary
    chosen = None if summary is None else chosen_candidate(tried, summary)
    best = chosen or best_so_far(recipe, tried, most) or tried[-1]
    number = picked_number(run.id, len(tried), best.number)
    return _Search(run, recipe, tried, most, chosen, tried[number - 1])


# -- the chart --


def _draw_chart(search: _Search) -> None:
    from core.charts import frontier as charts  # imports altair

    st.subheader("What was tried", anchor=False)
    cost = _choose_cost(search)
    table = charts.frontier_table(search.tried, cost)
    # A text that changes would make the browser draw a live chart anew.
    is_live = search.run.active
    alt = "Candidates of the search" if is_live else charts.frontier_alt_text(table, cost)
    key = f"frontier_{cost}"

    def take_click() -> None:
        points = st.session_state[key]["selection"].get(charts.SELECTION) or []
        if points:
            pick(search.run.id, int(points[0]["number"]))

    st.altair_chart(
        charts.frontier_chart(table, cost, _marks(search)),
        key=key,
        on_select=take_click,
        selection_mode=charts.SELECTION,
        alt=alt,
    )
    st.caption(_describe_chart(len(search.tried), len(table)))


def _choose_cost(search: _Search) -> "Cost":
    """Draw the choice of what stands upwards, if there is one.

    A limit of accuracy starts with the loss, which decides about it.
    """
    if all(made.lost is None for made in search.tried):
        return "divergence"
    cost = st.segmented_control(
        "Upwards",
        list(_COSTS),
        default="divergence" if search.recipe.lose is None else "most_lost",
        format_func=_COSTS.__getitem__,
        key=f"frontier_cost_{search.run.id}",
        required=True,
        label_visibility="collapsed",
    )
    return "most_lost" if cost == "most_lost" else "divergence"


def _marks(search: _Search) -> "BudgetMarks":
    from core.charts.frontier import BudgetMarks

    chosen = None if search.chosen is None else search.chosen.number
    return BudgetMarks(search.picked.number, chosen, search.most_bytes, search.recipe.lose)


def _describe_chart(count: int, drawn: int) -> str:
    """Say what a point is. count: of all candidates. drawn: how many of them have a place."""
    text = (
        f"{count:,} tried: each point is a network with a choice for each layer, packed. The"
        " steps are the Pareto frontier, and the dashed line is the limit. Click a point to see its"
        " layers."
    )
    if drawn < count:
        text += f" {count - drawn:,} are not drawn, because their figure is not known or no number."
    return text
