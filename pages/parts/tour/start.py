"""The button that starts the tour, on the home page and on the tour's own."""

from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.runs.store import RunStore
from pages.parts.server.permission import permission
from pages.parts.shared import shell
from pages.parts.tour.runs import start_trainings


def draw_tour_button(place: DeltaGenerator, label: str, store: RunStore, root: Path) -> None:
    """Draw the button. A click starts the two trainings of the tour once, and opens the tour.

    root: the folder of the data sets.
    """
    clicked = place.button(
        label,
        icon=":material/play_arrow:",
        type="primary",
        key="tour",
        width="content",
        **permission(
            None, "Trains two small networks, one after the other, and shows all that the app does."
        ),
    )
    if not clicked:
        return
    with shell.showing_errors():
        start_trainings(store, root)
        st.switch_page("pages/tour.py")
