"""A run's state as an icon, a colour and a sign, the same on every page."""

from dataclasses import dataclass
from typing import Literal

import streamlit as st

from core.runs.run import Run


@dataclass(frozen=True)
class StateStyle:
    """How a state is drawn. `sign` stands for the icon where only plain text is possible."""

    icon: str
    color: Literal["gray", "blue", "violet", "green", "red", "orange"]
    sign: str


STATE_STYLES = {
    "created": StateStyle(":material/draft:", "gray", "○"),
    "starting": StateStyle(":material/hourglass_top:", "blue", "…"),
    "queued": StateStyle(":material/hourglass_empty:", "violet", "…"),
    "running": StateStyle(":material/play_circle:", "blue", "▶"),
    "finished": StateStyle(":material/check_circle:", "green", "✓"),
    "failed": StateStyle(":material/error:", "red", "✕"),
    "cancelled": StateStyle(":material/cancel:", "gray", "■"),
    "interrupted": StateStyle(":material/power_off:", "orange", "!"),
}


def draw_state(run: Run) -> None:
    """Draw the run's state."""
    style = STATE_STYLES[run.state]
    st.badge(run.state, icon=style.icon, color=style.color)


def signed_state(run: Run) -> str:
    """The run's state in plain text, such as "✓ finished"."""
    return f"{STATE_STYLES[run.state].sign} {run.state}"
