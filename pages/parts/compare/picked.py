"""The picked runs, which all views mark and the address carries as ?picked=ID,ID,...

A person picks runs in a chart. That chart shows its own picks at once. Every other chart starts
with them, and so does this one after they were changed elsewhere: its key then gets a new number,
by which the browser draws it anew.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import pandas as pd
import streamlit as st

from core.runs.comparison.compared import lineage_of, unique_names
from core.runs.run import Run
from pages.parts.compare.chosen import choose_runs
from pages.parts.compare.picture import draw_chart
from pages.parts.shared.address import keep_in_address
from pages.parts.shared.words import plain

Ids = tuple[str, ...]

_KEY = "compare_picked"
_CHART = "compare_picking"
_MOST_NAMED = 3


class _Picking(NamedTuple):
    """The chart in which runs can be picked now.

    name: of the chart and of what it shows. number: it is drawn anew when this changes. start: the
    picks with which it was drawn. latest: those that it shows now.
    """

    name: str
    number: int
    start: Ids
    latest: Ids


def keep_picked_in_address(chosen: Sequence[Run], runs_by_id: Mapping[str, Run]) -> None:
    """Take the picked runs from the address, and keep those that are chosen, or their ancestors."""
    family = {member.id for run in chosen for member in lineage_of(run, runs_by_id)}

    def parse(text: str) -> Ids:
        ids = dict.fromkeys(part.strip() for part in text.split(",") if part.strip())
        picked = tuple(run_id for run_id in ids if run_id in family)
        if len(picked) < len(ids):
            st.info(
                "The address picks runs that are not compared; they are left out.",
                icon=":material/search_off:",
            )
        return picked

    keep_in_address(_KEY, (), parse, name="picked", to_text=",".join)
    st.session_state[_KEY] = tuple(run_id for run_id in picked_ids() if run_id in family)


def picked_ids() -> Ids:
    """Return the ids of the picked runs after `keep_picked_in_address`."""
    ids: Ids = st.session_state[_KEY]
    return ids


def draw_picked(candidates: Mapping[str, Run], runs_by_id: Mapping[str, Run]) -> None:
    """Say which runs are picked, with buttons to compare only these, and to pick none."""
    picked = picked_ids()
    if not picked:
        return
    all_names = unique_names(runs_by_id.values())
    names = [plain(all_names[run_id]) for run_id in picked]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    comparable = [run_id for run_id in picked if run_id in candidates]
    with st.container(horizontal=True, vertical_alignment="center", key="compare_picked_line"):
        text = f"**{len(picked)} picked:** {', '.join(names[:_MOST_NAMED])}{more}"
        st.markdown(text, width="content")
        st.button(
            "Compare only this one" if len(picked) == 1 else f"Compare only these {len(picked)}",
            icon=":material/filter_center_focus:",
            type="tertiary",
            key="compare_only_picked",
            disabled=len(comparable) < len(picked),
            on_click=choose_runs,
            args=(comparable,),
        )
        st.button(
            "Pick none",
            icon=":material/deselect:",
            type="tertiary",
            key="compare_pick_none",
            on_click=_pick,
            args=([],),
        )


def start_picking(name: str) -> tuple[str, Ids]:
    """Return the key of a chart in which runs can be picked, and the picks that it starts with.

    name: of the chart and of what it shows.
    """
    picked = picked_ids()
    before = st.session_state.get(_CHART, _Picking("", 0, (), ()))
    chart = before
    if (before.name, before.latest) != (name, picked):
        chart = _Picking(name, before.number + 1, picked, picked)
    st.session_state[_CHART] = chart
    return f"compare_{name}_{chart.number}", chart.start


def draw_picking_chart(chart: Any, name: str, alt: str, *, key: str, table: pd.DataFrame) -> None:
    """Draw a chart whose clicks and rectangles pick runs.

    key: from `start_picking`. table: what the chart draws: `id`, and `x` and `y` for rectangles.
    """
    draw_chart(chart, name, alt, key=key, on_select=partial(_take_picks, key, table))


def _take_picks(key: str, table: pd.DataFrame) -> None:
    """Pick the runs that were clicked, and those in the rectangle, which is then removed."""
    from core.charts.compare.picks import BRUSHED, PICKED  # imports altair

    selection = st.session_state[key]["selection"]
    clicked = [row["id"] for row in selection.get(PICKED) or []]
    brushed = _ids_within(table, selection.get(BRUSHED) or {})
    known = set(table["id"])
    _pick([run_id for run_id in dict.fromkeys([*clicked, *brushed]) if run_id in known])
    if not brushed:
        chart = st.session_state[_CHART]
        st.session_state[_CHART] = chart._replace(latest=picked_ids())


def _ids_within(table: pd.DataFrame, rectangle: Mapping[str, Sequence[float]]) -> list[str]:
    """Return the ids of the points in a rectangle, given by the ends of its sides."""
    if not {"x", "y"} <= rectangle.keys():
        return []
    is_within = pd.Series(True, index=table.index)
    for letter in "xy":
        is_within &= table[letter].between(min(rectangle[letter]), max(rectangle[letter]))
    return list(table.loc[is_within, "id"])


def _pick(run_ids: Collection[str]) -> None:
    st.session_state[_KEY] = tuple(run_ids)
