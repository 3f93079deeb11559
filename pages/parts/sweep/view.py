"""The page of one sweep: its state, its progress, the chart as it grows, and its runs."""

from typing import Any

import pandas as pd
import streamlit as st

from core.errors import UserError
from core.runs.comparison.settings import DENSITY, SEED, label_of, settings_of
from core.runs.run import Run
from core.runs.store import RunStore
from core.runs.sweeps import launch
from core.runs.sweeps.budgets.fitted import is_budget
from core.runs.sweeps.points import Axes, Point, axes_of, points_of, seconds_left, without_budgets
from core.runs.sweeps.store import SweepStore
from core.runs.sweeps.sweep import Sweep
from pages.parts.shared import shell
from pages.parts.shared.states import signed_state
from pages.parts.shared.words import duration, plain
from pages.parts.sweep.fitted import draw_fitted
from pages.parts.sweep.state import draw_sweep_state

_MOST_COMPARED = 200


def draw_sweep(store: RunStore, sweep_id: str) -> None:
    """Draw the page of one sweep, or say why it cannot be shown."""
    st.button(
        "All sweeps",
        icon=":material/arrow_back:",
        type="tertiary",
        on_click=st.query_params.clear,
        key="all_sweeps",
    )
    sweeps = SweepStore(store)
    try:
        sweep = sweeps.get(sweep_id)
    except UserError as error:
        st.error(plain(str(error)), icon=":material/search_off:")
        return
    with st.container(horizontal=True, vertical_alignment="center", key="sweep_header"):
        st.title(plain(sweep.name), width="content", anchor=False)
        draw_sweep_state(sweep)
    _draw_actions(sweeps, sweep)
    _draw_live_part(sweeps, sweep)


def _draw_actions(sweeps: SweepStore, sweep: Sweep) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="sweep_actions"):
        if sweep.alive:
            _draw_cancel(sweep)
        elif sweep.state == "stopped":
            _draw_resume(sweep)
        _draw_compare(sweep)
        if not sweep.alive:
            _draw_delete(sweeps, sweep)


def _draw_cancel(sweep: Sweep) -> None:
    is_requested = sweep.cancel_file.exists()
    clicked = st.button(
        "Cancelling …" if is_requested else "Cancel",
        icon=":material/stop_circle:",
        key="cancel_sweep",
        disabled=is_requested,
        help="The run that is at work is stopped with a checkpoint. Resume continues it.",
    )
    if clicked:
        with shell.showing_errors():
            launch.cancel(sweep)
            st.rerun()


def _draw_resume(sweep: Sweep) -> None:
    clicked = st.button(
        "Resume",
        icon=":material/play_arrow:",
        type="primary",
        key="resume_sweep",
        help="Goes on with the runs that are missing, and tries those that failed once more.",
    )
    if clicked:
        with shell.showing_errors():
            launch.start(sweep, shell.data_folder())
            st.rerun()


def _draw_compare(sweep: Sweep) -> None:
    finished = [run.id for run in sweep.runs if run.state == "finished"][:_MOST_COMPARED]
    if len(finished) > 1:
        st.page_link(
            "pages/compare.py",
            label="Compare these runs",
            icon=":material/compare_arrows:",
            query_params={"runs": ",".join(finished)},
            width="content",
        )


def _draw_delete(sweeps: SweepStore, sweep: Sweep) -> None:
    with st.popover("Delete", icon=":material/delete:"):
        st.markdown("The sweep is deleted. Its runs stay.")
        if st.button("Delete the sweep", type="primary", key="delete_sweep"):
            with shell.showing_errors():
                sweeps.delete(sweep.id)
                st.query_params.clear()
                st.rerun()


def _draw_live_part(sweeps: SweepStore, old: Sweep) -> None:
    """Draw all that changes while the sweep runs, every two seconds."""

    @st.fragment(run_every=2 if old.alive else None, key="sweep_live")
    def draw_live_part() -> None:
        try:
            sweep = sweeps.get(old.id)
        except UserError:  # deleted in another tab
            st.rerun()
        if sweep.state != old.state:
            st.rerun()
        _draw_progress(sweep)
        axes = axes_of(sweep)
        has_budgets = any(is_budget(steps) for steps in sweep.members)
        if has_budgets:
            draw_fitted(sweep)
        if not all(is_budget(steps) for steps in sweep.members):
            _draw_chart(sweep, without_budgets(points_of(sweep)), axes)
        _draw_table(sweep, axes, has_budgets)

    draw_live_part()


def _draw_progress(sweep: Sweep) -> None:
    steps = sweep.steps
    done = sum(step.is_done for step in steps)
    text = f"{done:,} of {len(steps):,} runs"
    active = next((run for run in sweep.runs if run.active), None)
    share = float(done)
    if active is not None:
        text += f" · now {plain(active.name)}"
        share += active.status.progress
    left = seconds_left(sweep)
    if sweep.alive and left:
        text += f" · about {duration(left)} left"
    st.progress(min(1.0, share / len(steps)), text=text)
    failed = [
        step.run
        for step in sweep.steps
        if step.run is not None and step.run.state == "failed" and not step.could_not_fit
    ]
    if failed:
        st.warning(
            f"{len(failed)} failed, the first with: {plain(failed[0].status.message)}",
            icon=":material/error:",
        )


def _draw_chart(sweep: Sweep, points: list[Point], axes: Axes) -> None:
    from core.charts.sweep import HEIGHT, sweep_chart  # imports altair

    if not points:
        if sweep.alive:
            st.skeleton(HEIGHT)
        else:
            st.info("No combination is finished yet.", icon=":material/hourglass_empty:")
        return
    chance = _chance(points)
    along = "" if axes.along is None else f" against {label_of(axes.along).lower()}"
    st.altair_chart(
        sweep_chart(points, axes, chance),
        key="sweep_chart",
        alt=f"Test accuracy of every combination{along}",
    )
    st.caption(_chart_text(points, axes, chance))


def _chart_text(points: list[Point], axes: Axes, chance: float | None) -> str:
    images = {point.run.status.summary.test_images for point in points if point.run.status.summary}
    tested = f" on {images.pop():,} test images" if len(images) == 1 and None not in images else ""
    text = f"Each point is one run{tested}, with the network that it ended with."
    if axes.along is not None:
        text += (
            " A line is the mean of the seeds, and the shade spans from the least to the greatest"
            " of them."
        )
    return text if chance is None else f"{text} The dashed line is guessing."


def _chance(points: list[Point]) -> float | None:
    """The accuracy of guessing, if all points have the same number of classes."""
    classes = {point.run.status.summary.classes for point in points if point.run.status.summary}
    number = classes.pop() if len(classes) == 1 else None
    return 1 / number if number else None


def _draw_table(sweep: Sweep, axes: Axes, has_budgets: bool) -> None:
    """Draw a row for each run that exists. A click on a row opens its run."""
    rows = table_rows(sweep, axes)
    if not has_budgets:
        for row in rows:
            del row["Tested on"], row["Bytes"]
    if not rows:
        return
    event = st.dataframe(
        pd.DataFrame(rows).drop(columns="id"),
        hide_index=True,
        key="sweep_runs",
        column_config={
            "Run": st.column_config.TextColumn(width=300),
            "Test accuracy": st.column_config.NumberColumn(format="%.2f%%"),
            "Bytes": st.column_config.NumberColumn(format="localized"),
            label_of(DENSITY): st.column_config.NumberColumn(format="percent"),
        },
        on_select="rerun",
        selection_mode="single-row",
        placeholder="—",
        alt="The runs of this sweep with their settings and accuracies",
    )
    if event["selection"]["rows"]:
        shell.open_run(rows[event["selection"]["rows"][0]]["id"])


def table_rows(sweep: Sweep, axes: Axes) -> list[dict[str, Any]]:
    """Return a row for each run, with those of its settings that the chart tells apart."""
    names = [name for name in (axes.along, *axes.lines, SEED) if name is not None]
    rows: dict[str, dict[str, Any]] = {}
    for steps in sweep.members:
        for length, step in enumerate(steps, 1):
            if step.run is None:
                continue
            settings = settings_of(step.recipe for step in steps[:length])
            rows[step.run_id] = {
                "id": step.run_id,
                "Run": step.run.name,
                "Status": signed_state(step.run),
                "Test accuracy": _percent(step.run),
                "Tested on": _tested_on(step.run),
                "Bytes": _packed_bytes(step.run),
                **{label_of(name): settings.get(name) for name in names},
            }
    return list(rows.values())


def _tested_on(run: Run) -> str | None:
    summary = run.status.summary
    if summary is None:
        return None
    return f"half {summary.test_half}" if summary.test_half else "all test images"


def _packed_bytes(run: Run) -> int | None:
    summary = run.status.summary
    return None if summary is None else summary.packed_bytes


def _percent(run: Run) -> float | None:
    accuracy = run.status.test_accuracy
    return None if accuracy is None else 100 * accuracy
