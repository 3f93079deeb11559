"""The page of one sweep: its state, its progress, the chart as it grows, and its runs."""

import streamlit as st

from core.errors import UserError
from core.runs.comparison.settings import label_of
from core.runs.store import RunStore
from core.runs.sweeps import launch
from core.runs.sweeps.budgets.fitted import is_budget
from core.runs.sweeps.points import Axes, Point, axes_of, points_of, seconds_left, without_budgets
from core.runs.sweeps.store import SweepStore
from core.runs.sweeps.sweep import Sweep
from pages.parts.server.permission import draw_refusal, permission
from pages.parts.shared import shell
from pages.parts.shared.words import duration, plain
from pages.parts.sweep.fitted import draw_fitted
from pages.parts.sweep.runs import draw_sweep_runs
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
    draw_refusal(sweep)
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
        **permission(
            sweep,
            "The run that is at work is stopped with a checkpoint. Resume continues it.",
            is_requested,
        ),
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
        **permission(
            sweep, "Goes on with the runs that are missing, and tries those that failed once more."
        ),
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
    with st.popover("Delete", icon=":material/delete:", **permission(sweep)):
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
        draw_sweep_runs(sweep, axes, has_budgets)

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
