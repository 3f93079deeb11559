"""A measurement that runs in short pieces, so that the page stays responsive."""

import threading
import time
from collections.abc import Callable, Generator

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.events import Progress
from pages.parts.shared.words import duration

PIECE_SECONDS = 0.7
"""Time of measuring between two updates of the page."""

SECONDS_BETWEEN_PIECES = 0.1

_PACE_SECONDS = 2.0  # before that, the pace says nothing about the time that is left


def draw_progress_row(name: str, end: Callable[[], None]) -> DeltaGenerator:
    """Draw the Stop button, and return the place of the progress bar before it.

    name: begins the keys. end: called on a click on Stop.
    """
    with st.container(horizontal=True, vertical_alignment="center", key=f"{name}_progress"):
        bar = st.empty()
        if st.button(
            "Stop",
            icon=":material/stop_circle:",
            key=f"{name}_stop",
            help="The results so far are kept.",
        ):
            end()
    return bar


class RunningScan:
    """A generator of Progress events that only one thread runs at a time.

    key: The settings of the scan, as a text.
    """

    def __init__(self, key: str, events: Generator[Progress, None, object]) -> None:
        self.key = key
        self._events = events
        self._last_event: Progress | None = None
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def run_for(self, seconds: float) -> bool:
        """Run for about so many seconds. Returns whether there is more to do."""
        is_free = self._lock.acquire(blocking=False)
        if not is_free:  # the script was interrupted, and its thread still measures
            return True
        try:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                self._last_event = next(self._events)
            return True
        except StopIteration:
            return False
        finally:
            self._lock.release()

    @property
    def share(self) -> float:
        """The part of the scan that is done, in [0, 1]."""
        event = self._last_event
        if event is None or not event.total:
            return 0.0
        return min(1.0, event.done / event.total)

    @property
    def text(self) -> str:
        """The progress in words, with the time that is left at the pace so far."""
        if self._last_event is None:
            return "Starting …"
        text = str(self._last_event)
        spent = time.monotonic() - self._started
        if self.share and spent > _PACE_SECONDS:
            left = spent / self.share - spent
            text += f" · about {duration(left)} left"
        return text
