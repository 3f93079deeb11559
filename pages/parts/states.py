"""A run's state in words, icons and colours, the same on every page."""

import re
from dataclasses import dataclass

import streamlit as st

from core.runs.run import Run


@dataclass(frozen=True)
class Look:
    """How a state looks; `mark` is its sign where only plain text can be."""

    icon: str
    color: str
    mark: str


LOOKS = {
    "created": Look(":material/draft:", "gray", "○"),
    "starting": Look(":material/hourglass_top:", "blue", "…"),
    "queued": Look(":material/hourglass_empty:", "violet", "…"),
    "running": Look(":material/play_circle:", "blue", "▶"),
    "finished": Look(":material/check_circle:", "green", "✓"),
    "failed": Look(":material/error:", "red", "✕"),
    "cancelled": Look(":material/cancel:", "gray", "■"),
    "interrupted": Look(":material/power_off:", "orange", "!"),
}


def badge(run: Run) -> None:
    """Draw the run's state."""
    st.badge(run.state, icon=LOOKS[run.state].icon, color=LOOKS[run.state].color)


def plain(text: str) -> str:
    """A person's words as Markdown that shows them as they are: no emphasis, no links, no pictures from elsewhere."""
    return re.sub(r"([\\`*_{}\[\]()#+!:$|~<>&-])", r"\\\1", text)


def percent(share: float | None) -> str:
    """A share as a person reads it, or a dash."""
    return "—" if share is None else f"{share:.2%}"


def span(low: float, high: float) -> str:
    """A range in words, such as "−0.31 to 2.4"."""
    return f"{low:.3g} to {high:.3g}".replace("-", "−")


def kept(density: float) -> str:
    """A density in words, such as "10% kept"."""
    return "dense" if density == 1 else f"{100 * density:.3g}% kept"


def duration(seconds: float) -> str:
    """A time in the two units that matter, such as "2 min 5 s"."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def size(number: float) -> str:
    """A file's size as a person reads it, such as "58.9 MB"."""
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= factor:
            return f"{number / factor:.3g} {unit}"
    return f"{number:.0f} B"
