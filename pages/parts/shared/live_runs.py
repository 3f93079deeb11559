"""Runs that a page waits for: a box for each with its progress, and a button that stops them."""

from collections.abc import Callable, Sequence

import streamlit as st

from core.runs import launch
from core.runs.run import Run
from pages.parts.server.permission import permission
from pages.parts.shared import shell
from pages.parts.shared.states import draw_state
from pages.parts.shared.words import plain


def draw_live_runs(runs: Sequence[Run], read: Callable[[], Sequence[Run]], key: str) -> None:
    """Draw the runs' progress once a second. When one ends, the whole page is drawn again.

    runs: as the page knows them. read: returns them as they are now. key: a part of the widgets'
    keys.
    """
    active_before = {run.id for run in runs if run.active}

    @st.fragment(run_every=1, key=f"{key}_live")
    def draw() -> None:
        with shell.showing_errors():
            runs_now = read()
            active = [run for run in runs_now if run.active]
            if {run.id for run in active} != active_before:
                st.rerun()
            draw_run_boxes(runs_now)
            own = [run for run in active if run.access.may_change(run)]
            may_stop = permission((own or active)[0] if active else None)
            if st.button("Stop", icon=":material/stop_circle:", key=f"stop_{key}", **may_stop):
                for run in own:
                    launch.cancel(run)

    draw()


def draw_run_boxes(runs: Sequence[Run]) -> None:
    """Draw a box for each run: its state, a link to its page, and its progress or its message."""
    for run in runs:
        with st.container(border=True, key=f"box-{run.id}"):
            with st.container(horizontal=True, vertical_alignment="center"):
                draw_state(run)
                st.page_link(
                    "pages/runs.py",
                    label=plain(run.name),
                    query_params={"run": run.id},
                    width="stretch",
                )
            if run.active:
                _draw_progress(run)
            elif run.status.message:
                st.markdown(plain(run.status.message))


def _draw_progress(run: Run) -> None:
    status = run.status
    text = status.stage or "Starting"
    if status.total:
        text += f" · {status.done:,} of {status.total:,} {status.unit}"
    share = status.done / status.total if status.total else 0.0
    st.progress(min(1.0, share), text=text)
