"""The map: the chosen runs and all their ancestors, from left to right."""

from collections.abc import Mapping, Sequence

import streamlit as st

from core.runs.comparison import with_ancestors
from core.runs.figures import METRICS
from core.runs.run import Run
from pages.parts.compare.cached import compare
from pages.parts.compare.picture import draw_chart
from pages.parts.shared.address import address_selectbox


def draw_map(chosen: Sequence[Run], runs_by_id: Mapping[str, Run]) -> None:
    """Draw the choice of the colour, and the map."""
    from core.charts.compare.map import map_chart, map_table  # imports altair

    name = address_selectbox(
        "Colour",
        "compare_colour",
        list(METRICS),
        "accuracy",
        what="figure",
        address="colour",
        format_func=lambda metric: METRICS[metric].label,
        width=220,
    )
    members = with_ancestors(compare(chosen, runs_by_id))
    runs = compare(members, runs_by_id, (name,))
    ids = {run.id for run in chosen}
    table = map_table(runs, [run for run in runs if run.id in ids], name)
    draw_chart(
        map_chart(table, name),
        "map",
        f"{len(table)} runs from left to right by what they were made from, coloured by"
        f" {METRICS[name].label}",
    )
    st.caption(
        "A line leads from a run to what was made from it. Circles are chosen runs, squares are"
        " ancestors that are not chosen; an empty one has no such figure."
    )
