"""The button that starts a run. A double click starts one run, not two."""

import secrets
from collections.abc import Callable
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.errors import UserError
from core.runs import launch
from core.runs.cluster.address import cluster_address
from core.runs.run import Run
from pages.parts.server.permission import permission
from pages.parts.shared import shell
from pages.parts.shared.words import plain

_LAUNCH_HELP = "The run has its own process, so you can close the browser."


def draw_start_button(
    place: DeltaGenerator,
    label: str,
    key: str,
    create: Callable[[str], Run],
    data: Path,
    *,
    help_text: str = _LAUNCH_HELP,
    disabled: bool = False,
    stretched: bool = True,
) -> None:
    """Draw the button at `place`. A click creates the run, starts its worker and opens its page.

    create: makes the run from a token. Called twice with the same token, it returns the same run,
    as `RunStore.create` does. It must not call Streamlit: a second click can interrupt the script
    at every call. data: the folder of the data sets.
    """
    token = _token(key)
    clicked = place.button(
        label,
        icon=":material/play_arrow:",
        type="primary",
        key=key,
        width="stretch" if stretched else "content",
        **permission(None, help_text, disabled),
    )
    if not clicked:
        return
    with shell.showing_errors():
        cluster_address()  # says what is wrong with it, before a run is made
        run = launch.start(create(token), data)
        shell.open_run(run.id)


def _token(key: str) -> str:
    """The token of the next run. It changes only when the button was not clicked.

    So the second of two clicks finds the token of the first.
    """
    name = f"{key}_token"
    if not st.session_state.get(key) or name not in st.session_state:
        st.session_state[name] = secrets.token_hex(16)
    return st.session_state[name]


def draw_impossible_start(
    place: DeltaGenerator, label: str, key: str, error: UserError, title: str
) -> None:
    """Draw the button at `place` so that nobody can click it, and the reason below it."""
    place.button(label, type="primary", key=key, disabled=True, width="stretch")
    place.error(plain(str(error)), icon=":material/error:", title=title)
