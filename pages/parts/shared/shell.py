"""Shared by every page: the guard at its top, the folders of the app, and how errors are shown."""

import contextlib
import runpy
from collections.abc import Iterator
from pathlib import Path

import streamlit as st

from core.config import data_root, runs_root
from core.errors import UserError
from core.runs.store import RunStore
from pages.parts.server.entrance import is_let_in
from pages.parts.server.login import access
from pages.parts.shared.address import open_page
from pages.parts.shared.words import plain

_ENTRY = Path(__file__).resolve().parents[3] / "streamlit_app.py"


def guard(page: str) -> None:
    """Make sure that the page runs inside the entry file, with the navigation.

    Until a session has run the entry file, Streamlit answers a deep link such as /train with the
    page's file alone. In that case the entry file runs here, with the page inside it, and the outer
    run of the page ends. `page` is the page's file. The same for whoever must log in first.
    """
    if not st.session_state.get("entered") or not is_let_in():
        runpy.run_path(str(_ENTRY))
        st.stop()
    open_page(Path(page).stem)


def run_store() -> RunStore:
    """The runs of this app, with what the one who uses the page may do with them."""
    store = RunStore(runs_root(), access())
    store.tidy()
    return store


def data_folder() -> Path:
    """The folder of this app's data sets."""
    return data_root()


def open_run(run_id: str) -> None:
    """Leave this page for the page of one run."""
    st.switch_page("pages/runs.py", query_params={"run": run_id})


@contextlib.contextmanager
def showing_errors() -> Iterator[None]:
    """Show a UserError that is raised inside as a sentence on the page."""
    try:
        yield
    except UserError as error:
        draw_error(error)


def draw_error(error: Exception, title: str | None = None) -> None:
    """Show the error's message, in which nothing is taken for Markdown."""
    st.error(plain(str(error)), icon=":material/error:", title=title)
