"""The choice of the data set in the form of a training."""

from pathlib import Path

import streamlit as st

from core import data
from core.config import TrainRecipe
from pages.parts.server.permission import permission
from pages.parts.shared.address import address_selectbox
from pages.parts.shared.fields import help_text
from pages.parts.shared.import_images import import_images_dialog
from pages.parts.shared.presets import START
from pages.parts.shared.words import size


def draw_dataset_choice(root: Path) -> data.Choice:
    """Draw the choice of the data set and the button that imports one. Return the choice."""
    choices = {choice.name: choice for choice in data.available(root)}
    imported = st.session_state.pop("imported", None)
    if imported:
        st.session_state["dataset"] = imported
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = address_selectbox(
            "Data set",
            "dataset",
            list(choices),
            START.dataset,
            what="data set",
            format_func=lambda name: f"{name} · {_state_text(choices[name])}",
            help=help_text(TrainRecipe, "dataset"),
        )
        clicked = st.button(
            "Import …",
            icon=":material/add_photo_alternate:",
            key="import",
            width="content",
            **permission(
                None, "Import your own images: a folder, a zip file, an .npz file or Parquet files."
            ),
        )
        if clicked:
            import_images_dialog(root)
    st.caption(_dataset_text(choices[name].info))
    return choices[name]


def _dataset_text(info: data.DatasetInfo) -> str:
    wanted = st.session_state.get("train_images")
    train_images = f"{info.train_images:,}"
    if wanted and wanted < info.train_images:
        train_images = f"{wanted:,} of {train_images}"
    return (
        f"{info.description} {train_images} images to train on and {info.test_images:,} to test on,"
        f" {info.classes} classes, {info.side} × {info.side} pixels."
    )


def _state_text(choice: data.Choice) -> str:
    """Where the data set is, in words."""
    texts = {
        "ready": "ready",
        "bundled": "bundled",
        "on disk": "to unpack",
        "download": f"to download, {size(choice.info.download)}",
    }
    return texts[choice.state]
