"""The curves: loss or accuracy of all chosen trainings over each other."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from core.runs.comparison.course import Course, course_of
from core.runs.run import Run
from pages.parts.compare.cached import compare, epochs_of
from pages.parts.compare.picked import picked_ids
from pages.parts.compare.picture import draw_chart
from pages.parts.compare.views.words import draw_colour_note
from pages.parts.shared.address import keep_choice_in_address, keep_in_address, number_parser

if TYPE_CHECKING:
    from core.charts.compare.curves import Quantity, Series  # imports altair

_QUANTITIES: dict[str, "Quantity"] = {"Accuracy": "accuracy", "Loss": "loss"}
_COURSES: dict[str, Course] = {"By epoch": "epoch", "By step": "step", "By time": "time"}
_SERIES: dict[str, tuple["Series", ...]] = {
    "Test": ("test",),
    "Training": ("train",),
    "Both": ("train", "test"),
}


def draw_curves(chosen: Sequence[Run], runs_by_id: Mapping[str, Run]) -> None:
    """Draw the choice of the curves, and the curves."""
    from core.charts.compare.curves import curves_chart, curves_table  # imports altair

    runs = compare(chosen, runs_by_id)
    epochs = {run.id: epochs_of(run.run) for run in runs}
    epochs = {run_id: rows for run_id, rows in epochs.items() if rows}
    with st.container(horizontal=True, vertical_alignment="bottom", key="compare_curve_options"):
        quantity = _QUANTITIES[_choose("Figure", "quantity", list(_QUANTITIES))]
        series = _SERIES[_choose("Images", "images", list(_SERIES))]
        course = _COURSES[_choose("Course", "course", list(_COURSES))]
        weight = _choose_smoothing()
    drawn = [run for run in runs if run.id in epochs]
    _draw_without_epochs(len(runs) - len(drawn))
    if not drawn:
        return
    picked = picked_ids()
    names = {run.id: run.name for run in drawn}
    ends = {run.id: course_of(run.run.recipe, epochs[run.id], course) for run in drawn}
    table = curves_table(epochs, ends, names, quantity, series, weight)
    draw_chart(
        curves_chart(table, draw_colour_note(drawn, picked), quantity, course, series, picked),
        "curves",
        f"{quantity.capitalize()} of {len(drawn)} trainings by {course}",
    )


def _choose(label: str, name: str, options: list[str]) -> str:
    key = f"compare_{name}"
    keep_choice_in_address(key, options, options[0], what=label.lower(), name=name)
    choice = st.segmented_control(label, options, key=key, required=True, persist_state="session")
    return choice or options[0]


def _choose_smoothing() -> float:
    """Draw the slider, and return the weight of the average before."""
    keep_in_address("compare_smooth", 0, number_parser(int, 0, 95), name="smooth")
    percent: int = st.slider(
        "Smoothing",
        0,
        95,
        key="compare_smooth",
        format="%d%%",
        step=5,
        width=220,
        persist_state="session",
        help=(
            "Exponential: each point is an average of its epoch and those before, whose weight"
            " shrinks by this share of itself with every epoch back. 0% does not smooth; at 90% a"
            " point is about the mean of the last 10 epochs."
        ),
    )
    return percent / 100


def _draw_without_epochs(count: int) -> None:
    if count:
        verb = "run has" if count == 1 else "runs have"
        st.caption(f"{count} chosen {verb} no epochs: imported, quantized without tuning, or new.")
