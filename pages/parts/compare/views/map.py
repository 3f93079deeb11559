"""The map: the chosen runs and all their ancestors, from left to right."""

import zlib
from collections.abc import Mapping, Sequence

import streamlit as st

from core.runs.comparison.compared import with_ancestors
from core.runs.comparison.figures import METRICS
from core.runs.run import Run
from pages.parts.compare.cached import compare
from pages.parts.compare.picked import draw_picking_chart, start_picking
from pages.parts.shared.address import address_selectbox

_SAME = "same"
_SAME_LABEL = "Same for all"


def draw_map(chosen: Sequence[Run], runs_by_id: Mapping[str, Run]) -> None:
    """Draw the choice of the colour and of the size, and the map."""
    from core.charts.compare.map import map_chart, map_table  # imports altair

    with st.container(horizontal=True, vertical_alignment="bottom", key="compare_map_options"):
        colour = _choose_figure("Colour", "colour", list(METRICS), "accuracy")
        chosen_size = _choose_figure("Size", "size", [_SAME, *METRICS], "bytes")
    size = None if chosen_size == _SAME else chosen_size
    members = with_ancestors(compare(chosen, runs_by_id))
    runs = compare(members, runs_by_id, (colour, chosen_size))
    ids = {run.id for run in chosen}
    table = map_table(runs, [run for run in runs if run.id in ids], colour, size)
    shown = zlib.crc32(repr((sorted(table["id"]), colour, size)).encode())
    key, picked = start_picking(f"map_{shown}")
    draw_picking_chart(
        map_chart(table, colour, size, picked),
        "map",
        f"{len(table)} runs from left to right by what they were made from, coloured by"
        f" {METRICS[colour].label}",
        key=key,
        table=table,
    )
    st.caption(
        "A line leads from a run to what was made from it. Circles are chosen runs, squares are"
        " ancestors that are not chosen; an empty one has no figure for the colour. Click a run to"
        " pick it, and further ones with Shift."
    )


def _choose_figure(label: str, name: str, options: list[str], default: str) -> str:
    return address_selectbox(
        label,
        f"compare_{name}",
        options,
        default,
        what="figure",
        address=name,
        format_func=lambda option: _SAME_LABEL if option == _SAME else METRICS[option].label,
        width=220,
    )
