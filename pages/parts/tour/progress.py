"""A run of the tour while it works, and the way on after it failed or was stopped."""

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from core.runs import launch
from core.runs.run import Run
from core.runs.store import RunStore
from pages.parts.server.permission import permission
from pages.parts.shared import shell
from pages.parts.shared.run_line import draw_run_line
from pages.parts.shared.words import plain
from pages.parts.tour.runs import TourRuns, find_tour


def draw_live(store: RunStore, draw: Callable[[TourRuns], None]) -> None:
    """Draw the runs of the tour, again every second while one of them works.

    When none works any more, the whole page is drawn again, and the timer ends.
    """
    was_active = _is_any_active(find_tour(store))

    @st.fragment(run_every=1 if was_active else None, key="tour_live")
    def draw_runs() -> None:
        runs = find_tour(store)
        if was_active and not _is_any_active(runs):
            st.rerun()
        draw(runs)

    draw_runs()


def draw_run_progress(run: Run, root: Path) -> None:
    """Draw the run's line, and how far it is or why it stopped.

    root: the folder of the data sets, for a run that is started again.
    """
    draw_run_line(run)
    if run.active:
        st.progress(run.status.progress, text=plain(run.status.stage) or "Starting")
    elif run.state != "finished":
        _draw_stopped(run, root)
    elif not run.has_model:
        st.warning(
            "The file of its model is gone. Delete this run on its page, and start the tour again.",
            icon=":material/warning:",
        )


def _draw_stopped(run: Run, root: Path) -> None:
    if run.state == "failed":
        message = plain(run.status.message) or "It failed without a message."
        st.error(f"{message} Its page has the log.", icon=":material/error:", title="It failed")
    else:
        st.warning(f"This run is {run.state}.", icon=":material/power_off:")
    clicked = st.button(
        "Try again",
        icon=":material/replay:",
        key=f"tour_again_{run.id}",
        **permission(run, "Continues from the last checkpoint, or starts anew if there is none."),
    )
    if clicked:
        with shell.showing_errors():
            launch.resume(run, root)
            st.rerun()


def _is_any_active(runs: TourRuns) -> bool:
    return any(run.active for run in (runs.dense, runs.pruned, runs.quantized) if run is not None)
