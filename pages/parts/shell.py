"""What every page begins with: its frame, the folders it works in, and the sentence that it shows when things fail."""

import contextlib
import runpy
from collections.abc import Iterator
from pathlib import Path

import streamlit as st

from core.config import data_root, runs_root
from core.errors import UserError
from core.runs.store import RunStore
from pages.parts.states import plain

_ENTRY = Path(__file__).resolve().parent.parent.parent / "streamlit_app.py"


def guard() -> None:
    """Make sure that the page runs inside the entry file, with its navigation.

    Until a session has run the entry, Streamlit takes a deep link such as /train for a page of its own accord and
    runs the page's file alone. Then the entry runs here, the page inside it, and this outer run ends.
    """
    if not st.session_state.get("entered"):
        runpy.run_path(str(_ENTRY))
        st.stop()


def store() -> RunStore:
    """The runs of this app."""
    return RunStore(runs_root())


def data() -> Path:
    """The folder of the data sets of this app."""
    return data_root()


def open_run(id: str) -> None:
    """Leave this page for the page of one run."""
    st.switch_page("pages/runs.py", query_params={"run": id})


@contextlib.contextmanager
def telling() -> Iterator[None]:
    """Show a UserError raised inside as the sentence that it is."""
    try:
        yield
    except UserError as error:
        st.error(plain(str(error)), icon=":material/error:")
