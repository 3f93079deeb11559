"""A run's state as an icon, a colour and a sign, the same on every page."""

from dataclasses import dataclass
from typing import Literal

import streamlit as st

from core.runs.run import Run
from pages.parts.shared.accuracies import guessing_verdict


@dataclass(frozen=True)
class StateStyle:
    """How a state is drawn. `sign` stands for the icon where only plain text is possible."""

    icon: str
    color: Literal["gray", "blue", "violet", "green", "red", "orange"]
    sign: str


_GUESSING = "guessing"

STATE_STYLES = {
    "created": StateStyle(":material/draft:", "gray", "○"),
    "starting": StateStyle(":material/hourglass_top:", "blue", "…"),
    "queued": StateStyle(":material/hourglass_empty:", "violet", "…"),
    "running": StateStyle(":material/play_circle:", "blue", "▶"),
    "finished": StateStyle(":material/check_circle:", "green", "✓"),
    _GUESSING: StateStyle(":material/casino:", "orange", "≈"),
    "failed": StateStyle(":material/error:", "red", "✕"),
    "cancelled": StateStyle(":material/cancel:", "gray", "■"),
    "interrupted": StateStyle(":material/power_off:", "orange", "!"),
}


def draw_state(run: Run) -> None:
    """Draw the run's state."""
    state = _shown_state(run)
    style = STATE_STYLES[state]
    st.badge(state, icon=style.icon, color=style.color, help=guessing_verdict(run))


def signed_state(run: Run) -> str:
    """The run's state in plain text, such as "✓ finished"."""
    state = _shown_state(run)
    return f"{STATE_STYLES[state].sign} {state}"


def _shown_state(run: Run) -> str:
    """The run's state, or "guessing" if it finished with a network that only guesses."""
    return run.state if guessing_verdict(run) is None else _GUESSING
