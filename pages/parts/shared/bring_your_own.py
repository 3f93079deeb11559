"""The buttons that bring the user's own network and images, on the home page and in the tour."""

from pathlib import Path

import streamlit as st

from core.runs.store import RunStore
from pages.parts.server.permission import permission
from pages.parts.shared.import_images import import_images_dialog
from pages.parts.shared.import_network import import_network_dialog


def draw_own_network_button(store: RunStore, root: Path) -> None:
    """Draw the button that imports a checkpoint and opens its run.

    root: the folder of the data sets.
    """
    clicked = st.button(
        "Bring your own network",
        icon=":material/upload_file:",
        key="own_network",
        **permission(
            None, "Import a checkpoint from elsewhere: .safetensors, .secateur, .pt, .pth or .th."
        ),
    )
    if clicked:
        import_network_dialog(store, root)


def draw_own_images_button(root: Path) -> None:
    """Draw the button that imports images. The Train page opens when they are imported.

    root: the folder of the data sets.
    """
    clicked = st.button(
        "Bring your own images",
        icon=":material/add_photo_alternate:",
        key="own_images",
        **permission(None, "Import a folder, a zip file, an .npz file or Parquet files."),
    )
    if clicked:
        import_images_dialog(root)
    elif st.session_state.get("imported"):
        st.switch_page("pages/train.py")
