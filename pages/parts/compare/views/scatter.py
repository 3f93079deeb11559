"""The scatter plot: two figures of each chosen run, and which runs are on the Pareto frontier."""

import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from core.runs.comparison.compared import ComparedRun
from core.runs.comparison.figures import METRICS
from core.runs.run import Run
from pages.parts.compare.cached import compare
from pages.parts.compare.picked import draw_picking_chart, start_picking
from pages.parts.compare.views.words import figure_text
from pages.parts.shared.address import address_selectbox, keep_in_address, parse_flag
from pages.parts.shared.words import plain

if TYPE_CHECKING:
    from core.charts.compare.points import Axis

_MOST_NAMED = 12  # runs on the frontier


def draw_scatter(chosen: Sequence[Run], runs_by_id: Mapping[str, Run]) -> None:
    """Draw the choice of the axes, the chart, and the runs on the frontier."""
    from core.charts.compare.points import scatter_table
    from core.charts.compare.scatter import scatter_chart  # imports altair

    with st.container(horizontal=True, vertical_alignment="bottom", key="compare_axes"):
        x = _choose_axis("x", "Across", "bytes")
        y = _choose_axis("y", "Up", "accuracy")
    runs = compare(chosen, runs_by_id, (x.name, y.name))
    table = scatter_table(runs, x, y)
    _draw_missing(runs, set(table["id"]))
    if table.empty:
        return
    best = _runs_on_frontier(runs, dict(zip(table["id"], table["place"], strict=True)))
    shown = zlib.crc32(repr((sorted(table["id"]), x, y)).encode())
    key, picked = start_picking(f"scatter_{shown}")
    draw_picking_chart(
        scatter_chart(table, x, y, _chance(runs), picked),
        "scatter",
        f"{y.metric.label} against {x.metric.label} of {len(table)} runs; on the Pareto frontier:"
        f" {', '.join(run.name for run in best[:_MOST_NAMED])}",
        key=key,
        table=table,
    )
    st.caption(
        "Click a point to pick it, and further ones with Shift, or draw a rectangle around some."
        " All views mark what is picked."
    )
    _draw_frontier(best, x, y)


def _choose_axis(letter: str, label: str, default: str) -> "Axis":
    from core.charts.compare.points import Axis

    name = address_selectbox(
        label,
        f"compare_{letter}",
        list(METRICS),
        default,
        what="figure",
        address=letter,
        format_func=lambda metric: METRICS[metric].label,
        width=220,
        help=" ".join(f"{metric.label}: {metric.description}" for metric in METRICS.values()),
    )
    key = f"compare_log_{letter}_{name}"
    keep_in_address(key, METRICS[name].is_log, parse_flag, name=f"{letter}log")
    is_log = st.toggle("Log scale", key=key, persist_state="session")
    return Axis(name, is_log)


def _chance(runs: Sequence[ComparedRun]) -> float | None:
    """The accuracy of guessing; None if the runs have different numbers of classes.

    Runs whose number of classes is not known are left out.
    """
    counts = {run.figures.classes for run in runs if run.figures.classes}
    return 1 / counts.pop() if len(counts) == 1 else None


def _draw_missing(runs: Sequence[ComparedRun], drawn: set[str]) -> None:
    """Say which runs are not drawn."""
    missing = [run.name for run in runs if run.id not in drawn]
    if not missing:
        return
    text = plain(", ".join(missing[:_MOST_NAMED]))
    if len(missing) > _MOST_NAMED:
        text += f" and {len(missing) - _MOST_NAMED} more"
    st.caption(
        f"Not drawn, because a figure is not known, or is zero on a log scale: {text}.",
    )


def _runs_on_frontier(runs: Sequence[ComparedRun], places: Mapping[str, int]) -> list[ComparedRun]:
    """Return the runs with a place on the frontier, in its order. places: by id, 0 for none."""
    best = [run for run in runs if places.get(run.id)]
    return sorted(best, key=lambda run: places[run.id])


def _draw_frontier(best: Sequence[ComparedRun], x: "Axis", y: "Axis") -> None:
    """List the runs on the frontier under the numbers that they have in the chart."""
    lines = [
        f"{place}. **{plain(run.name)}**: {figure_text(y.name, run.figures.value(y.name))},"
        f" {figure_text(x.name, run.figures.value(x.name))}"
        for place, run in enumerate(best, 1)
    ]
    more = len(lines) - _MOST_NAMED
    tail = f"\n\nand {more} more, which are in the chart." if more > 0 else ""
    st.markdown(
        "On the **Pareto frontier**, which means that no other chosen run is at least as good in"
        " both figures and better in one:\n\n" + "\n".join(lines[:_MOST_NAMED]) + tail
    )
    if "accuracy" in (x.name, y.name):
        st.caption(
            "Bars are 95% intervals (Wilson) from the number of test images. Where they overlap,"
            " the order of two runs can be chance."
        )
