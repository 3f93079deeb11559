"""Export: a network in real 8-bit integers, its speed on this machine, and files for others."""

import streamlit as st

from core.runs.run import Run
from pages.parts.export.integers import draw_integers
from pages.parts.export.model import choose_network
from pages.parts.export.speed import draw_speed
from pages.parts.shared import shell
from pages.parts.shared.address import keep_choice_in_address, write_address

_VIEWS = ["Integers", "Speed", "Files", "Error by layer"]

shell.guard(__file__)
store = shell.run_store()
root = shell.data_folder()


def choose_view() -> str:
    """Draw the choice of what is shown below the model."""
    keep_choice_in_address("export_view", _VIEWS, _VIEWS[0], what="view", name="view")
    view = st.segmented_control(
        "Step",
        _VIEWS,
        key="export_view",
        required=True,
        persist_state="session",
        help=(
            "Integers: make an 8-bit network and test it. Speed: measure float and integers on this"
            " machine. Files: save the network in a format that others open. Error by layer: find"
            " where a compressed network begins to differ."
        ),
    )
    return view or _VIEWS[0]


def draw_view(run: Run, view: str) -> None:
    """Draw one step. The last two import torch or ONNX packages, which takes seconds."""
    if view == "Integers":
        draw_integers(store, run, root)
    elif view == "Speed":
        draw_speed(store, run, root)
    elif view == "Files":
        from pages.parts.export.files import draw_files

        draw_files(store, run, root)
    else:
        from pages.parts.export.error_by_layer import draw_error_by_layer

        draw_error_by_layer(store, run, root)


st.title("Export")
st.markdown(
    "Take a network out of here: in 8-bit integers that really run, timed on this machine, or as a"
    " file that other programs open. Under **Files**, each is checked before you"
    " get it."
)
with shell.showing_errors():
    network = choose_network(store)
    if network is not None:
        draw_view(network, choose_view())
write_address()
