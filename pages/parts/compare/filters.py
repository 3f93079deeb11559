"""The filters of the runs that can be chosen, which the address carries."""

from collections.abc import Callable, Mapping

import streamlit as st

from core.runs.comparison.compared import KINDS, lineage_of, method_of
from core.runs.run import Run
from pages.parts.shared.address import address_selectbox, keep_in_address
from pages.parts.shared.tag_filter import draw_tag_filter, tagged_runs

_ANY = "any"


def draw_filters(candidates: Mapping[str, Run], runs_by_id: Mapping[str, Run]) -> list[Run]:
    """Draw the filters, and return the runs that they let through, the newest first."""

    def method(run: Run) -> str:
        return method_of(lineage_of(run, runs_by_id)) or "none"

    runs = list(candidates.values())
    with st.container(horizontal=True, vertical_alignment="bottom", key="compare_filters"):
        text = _draw_search()
        for label, name, value in _FILTERS:
            runs = _draw_filter(label, name, value, list(candidates.values()), runs)
        runs = _draw_filter("Pruned by", "method", method, list(candidates.values()), runs)
        runs = tagged_runs(runs, draw_tag_filter("compare_tags", list(candidates.values())))
    words = text.lower().split()
    return [run for run in runs if all(word in run.name.lower() for word in words)]


def _kind(run: Run) -> str:
    return KINDS[run.recipe.kind]


_FILTERS: list[tuple[str, str, Callable[[Run], str]]] = [
    ("Network", "network", lambda run: run.model),
    ("Data set", "dataset", lambda run: run.dataset),
    ("Made by", "kind", _kind),
]


def _draw_search() -> str:
    keep_in_address("compare_search", "", str, name="search")
    return st.text_input(
        "Name contains",
        key="compare_search",
        max_chars=120,
        width=220,
        icon=":material/search:",
        persist_state="session",
    )


def _draw_filter(
    label: str, name: str, value: Callable[[Run], str], all_runs: list[Run], runs: list[Run]
) -> list[Run]:
    """Draw one filter, and return those of `runs` that it lets through. value: of a run."""
    options = sorted({value(run) for run in all_runs})
    chosen = address_selectbox(
        label,
        f"compare_{name}",
        [_ANY, *options],
        what=label.lower(),
        address=name,
        width=150,
    )
    return runs if chosen == _ANY else [run for run in runs if value(run) == chosen]
