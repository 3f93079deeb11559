"""The newest runs on the home page, drawn again every two seconds while one of them works."""

import streamlit as st

from core.runs.run import Run
from core.runs.store import RunStore
from pages.parts.shared.accuracies import interval_note
from pages.parts.shared.states import draw_state
from pages.parts.shared.words import percent, plain

_MOST_RUNS = 5


def draw_recent_runs(store: RunStore) -> None:
    """Draw the newest five runs, each with a link to its page."""
    was_active = any(run.active for run in store.list()[:_MOST_RUNS])

    @st.fragment(run_every=2 if was_active else None, key="recent")
    def draw_list() -> None:
        runs = store.list()[:_MOST_RUNS]
        is_active = any(run.active for run in runs)
        if was_active and not is_active:
            st.rerun()
        if not runs:
            st.info("Nothing has run yet. Start with the quick tour.", icon=":material/eco:")
        for run in runs:
            _draw_run(run)

    draw_list()


def _draw_run(run: Run) -> None:
    with st.container(
        border=True, horizontal=True, vertical_alignment="center", key=f"recent-{run.id}"
    ):
        draw_state(run)
        st.page_link(
            "pages/runs.py", label=plain(run.name), query_params={"run": run.id}, width="stretch"
        )
        accuracy = run.status.test_accuracy
        st.markdown(
            f"**{percent(accuracy)}** test accuracy",
            width="content",
            help=interval_note(run, accuracy) or None,
        )
