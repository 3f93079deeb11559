"""The newest runs on the home page, drawn again every two seconds while one of them works."""

import streamlit as st

from core.runs.store import RunStore
from pages.parts.shared.run_line import draw_run_line

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
            with st.container(border=True, key=f"recent-{run.id}"):
                draw_run_line(run)

    draw_list()
