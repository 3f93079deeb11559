"""Offers the script that reads a packed file into numpy arrays."""

import streamlit as st

from core.compress.packed import READER


def draw_reader_button(packed_name: str) -> None:
    """Draw the button that opens the script and how to use it.

    packed_name: the file name of the packed file when it is downloaded.
    """
    with st.popover(
        "Read it in numpy",
        icon=":material/code:",
        key="reader",
        help="Use the packed file elsewhere, without Secateur and without PyTorch.",
    ):
        st.caption(
            f"`{READER.name}` reads the packed file into numpy arrays, bit for bit as Secateur"
            " does. It needs numpy, safetensors and constriction."
        )
        st.code(
            f"from {READER.stem} import load\n\n"
            f'weights, card = load("{packed_name}")\n'
            'print(card["model"], card["classes"], list(weights))'
        )
        st.download_button(
            READER.name,
            READER.read_bytes,
            icon=":material/download:",
            file_name=READER.name,
            mime="text/x-python",
            on_click="ignore",
            key="reader_download",
        )
