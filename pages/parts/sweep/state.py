"""The state of a sweep as a badge."""

import streamlit as st

from core.runs.sweeps.sweep import Sweep
from pages.parts.shared.states import STATE_STYLES

_STYLES = {"running": "running", "finished": "finished", "stopped": "interrupted"}


def draw_sweep_state(sweep: Sweep) -> None:
    """Draw whether a process works on the sweep, or how it ended."""
    style = STATE_STYLES[_STYLES[sweep.state]]
    st.badge(sweep.state, icon=style.icon, color=style.color)
