"""The sweeps that exist, each in one line."""

import streamlit as st

from core.runs.store import RunStore
from core.runs.sweeps.store import SweepStore
from core.runs.sweeps.sweep import Sweep
from pages.parts.shared.words import plain
from pages.parts.sweep.state import draw_sweep_state


def draw_earlier_sweeps(store: RunStore) -> None:
    """Draw a line with a link for each sweep, the newest first."""
    sweeps = SweepStore(store).list()
    if not sweeps:
        return
    st.subheader("Sweeps", anchor=False)
    for sweep in sweeps:
        _draw_line(sweep)


def _draw_line(sweep: Sweep) -> None:
    done = sum(step.is_done for step in sweep.steps)
    with st.container(horizontal=True, vertical_alignment="center"):
        draw_sweep_state(sweep)
        st.page_link(
            "pages/sweep.py",
            label=plain(sweep.name),
            query_params={"sweep": sweep.id},
            width="stretch",
        )
        st.markdown(f"{done:,} of {len(sweep.steps):,} runs", width="content")
