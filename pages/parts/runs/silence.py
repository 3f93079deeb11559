"""A worker that gives no sign of life: since when, and the button that ends it."""

import streamlit as st

from core.runs import launch
from core.runs.run import SILENT_SECONDS, Run
from pages.parts.server.permission import permission
from pages.parts.shared import shell
from pages.parts.shared.words import duration


def draw_silence(run: Run) -> None:
    """Say that there is no news from the worker, if so, and draw the button that ends it."""
    if run.silent_seconds < SILENT_SECONDS:
        return
    st.warning(
        f"No news for {duration(run.silent_seconds)}: its process is frozen or paused, or the"
        " machine is too busy. It continues by itself once it can. If it does not, stop it by"
        " force, and resume from the last checkpoint.",
        icon=":material/hourglass_disabled:",
    )
    clicked = st.button(
        "Force stop",
        icon=":material/dangerous:",
        key="force_stop",
        **permission(
            run, "Ends the process at once. What it did after the last checkpoint is done again."
        ),
    )
    if clicked:
        with shell.showing_errors():
            launch.force_stop(run)
            st.rerun()
