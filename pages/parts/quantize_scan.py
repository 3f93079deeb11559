"""A sensitivity scan that goes on a little at every look of the page, so that the page stays alive meanwhile."""

import threading
import time
from collections.abc import Generator
from pathlib import Path

import streamlit as st

from core import data
from core.config import Quantizing
from core.errors import UserError
from core.events import Progress
from core.inspect import sensitivity
from core.inspect.plan import setting
from core.runs.run import Run, writable
from pages.parts import quantize_model
from pages.parts.importing import followed
from pages.parts.states import duration, plain

LOOK = 0.7  # seconds of measuring between two looks


class Scanning:
    """A generator of Progress that is run in pieces, by one thread at a time."""

    def __init__(self, key: str, events: Generator[Progress, None, object]):
        self.key, self.event, self._events = key, None, events
        self._began, self._lock = time.monotonic(), threading.Lock()

    def go_on(self, seconds: float) -> bool:
        """Go on for about so long; whether there is more to do."""
        if not self._lock.acquire(blocking=False):  # a look that was interrupted still measures
            return True
        try:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                self.event = next(self._events)
            return True
        except StopIteration:
            return False
        finally:
            self._lock.release()

    @property
    def share(self) -> float:
        return self.event.done / self.event.total if self.event else 0.0

    @property
    def text(self) -> str:
        """Where it is, and how long it will take from the pace so far."""
        if not self.event:
            return "Starting …"
        spent = time.monotonic() - self._began
        left = f" · about {duration(spent / self.share - spent)} left" if self.share and spent > 2 else ""
        return f"{self.event.stage}: {self.event.done:,} of {self.event.total:,} images{left}"


def running() -> bool:
    """Whether to look again soon: ?scan=on in the address, so that a refresh goes on where it was."""
    return st.query_params.get("scan") == "on"


def stop() -> None:
    """End the scan; what it found stays."""
    st.query_params.pop("scan", None)
    st.session_state.pop("scanning", None)


def key_of(run: Run, recipe: Quantizing) -> str:
    """All that a scan's results depend on."""
    return f"{run.id} {setting(recipe, 'all others')} {recipe.layers} {recipe.batchnorm}"


def draw(run: Run, recipe: Quantizing, root: Path, known: sensitivity.Scan, missing: list[str]) -> None:
    """Draw the button, or the progress and Stop while it runs; has a running scan go on. For a live fragment."""
    if running():
        _go_on(run, recipe, root)
        return
    if not missing:
        st.caption(_honest(known))
        return
    if not data.is_ready(run.dataset, root) and run.dataset != "Digits":
        _get(run.dataset, root)
        return
    again = f" {len(missing)} more layer{'s' if len(missing) > 1 else ''}" if known.layers else ""
    if st.button(f"Scan{again}", icon=":material/troubleshoot:", key="scan", help=(
            "Quantizes one layer at a time, all others in float, and counts what it costs on the test images. Without "
            "tuning, and with BatchNorm as it is: for comparing layers, not a forecast.")):
        st.query_params["scan"] = "on"
        st.rerun()
    st.caption(_honest(known))


def _honest(known: sensitivity.Scan) -> str:
    """What was measured on, and how sure that is."""
    what = (f"{known.images:,} of {known.of:,} test images, the same for every layer" if known.images < known.of
            else f"all {known.of:,} test images")
    if not known.layers:
        return f"Each layer alone, on {what}."
    low, high = (100 * limit(map(known.error, known.layers)) for limit in (min, max))
    sure = f"{low:.1f}" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f}"
    return (f"Each layer alone, on {what}: standard errors of {sure} points. Pale bars are within two of them, so may "
            "be chance. Without tuning, and with BatchNorm as it is.")


def _go_on(run: Run, recipe: Quantizing, root: Path) -> None:
    scanning = st.session_state.get("scanning")
    if scanning is not None and scanning.key != key_of(run, recipe):  # other settings: these are not what was asked
        stop()
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center", key="scan_progress"):
        bar = st.empty()
        if st.button("Stop", icon=":material/stop_circle:", key="scan_stop", help="What was found stays."):
            stop()
            st.rerun()
    if scanning is None:
        bar.progress(0.0, text="Starting …")
        scanning = st.session_state["scanning"] = Scanning(key_of(run, recipe), _events(run, recipe, root))
    else:
        bar.progress(min(1.0, scanning.share), text=scanning.text)
    _one_piece(scanning, run)


def _one_piece(scanning: Scanning, run: Run) -> None:
    try:
        with writable(run.path.parent):
            if scanning.go_on(LOOK):
                return
    except (UserError, RuntimeError, MemoryError) as error:  # torch's words for too large and too odd
        st.session_state["scan_failed"] = str(error) or "Out of memory."
    stop()
    st.rerun()


def _events(run: Run, recipe: Quantizing, root: Path) -> Generator[Progress, None, object]:
    from core.training.device import resolve

    saved, packed = quantize_model.load(run)
    return sensitivity.scan(saved, data.load(run.dataset, root), recipe, run.path, packed=packed,
                            device=resolve(recipe.device))


def _get(dataset: str, root: Path) -> None:
    """The images are not here yet: fetch them on demand."""
    st.info(f"A scan needs the test images of {dataset}, which are not ready on this machine.",
            icon=":material/download:")
    if st.button("Get them now", icon=":material/download:", key="scan_data"):
        try:
            followed(data.prepare(dataset, root), st.empty())
        except (UserError, OSError) as error:
            st.error(plain(str(error)), icon=":material/error:")
            return
        st.rerun()
