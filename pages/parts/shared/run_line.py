"""One run in one line: its state, a link to its page, and its test accuracy."""

import streamlit as st

from core.runs.run import Run
from pages.parts.shared.accuracies import interval_note
from pages.parts.shared.states import draw_state
from pages.parts.shared.words import percent, plain


def draw_run_line(run: Run) -> None:
    """Draw the line, which a narrow screen breaks into two."""
    with st.container(horizontal=True, vertical_alignment="center"):
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
