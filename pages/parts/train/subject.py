"""The choice of the network and of the data set, in the form of a training."""

from pathlib import Path
from typing import NamedTuple

import streamlit as st

from core import data
from core.config import TrainRecipe
from core.models import MODELS, TORCHVISION, ModelInfo
from pages.parts.shared.address import (
    address_selectbox,
    keep_choice_in_address,
)
from pages.parts.shared.fields import help_text
from pages.parts.shared.import_images import import_images_dialog
from pages.parts.shared.presets import START
from pages.parts.shared.words import short, size


class _Family(NamedTuple):
    """Networks of one origin. `first` is chosen when a user changes to the family."""

    networks: dict[str, ModelInfo]
    first: str


_FAMILIES = {
    "Secateur": _Family(MODELS, START.model),
    "torchvision": _Family(TORCHVISION, "resnet18"),
}


def draw_network_choice() -> None:
    """Draw the choice of the network, with the parameters and multiply-adds of each."""
    state = st.session_state
    keep_choice_in_address("model", {**MODELS, **TORCHVISION}, START.model, what="network")
    state["family"] = "torchvision" if state["model"] in TORCHVISION else "Secateur"
    st.segmented_control(
        "Network",
        list(_FAMILIES),
        key="family",
        required=True,
        on_change=_choose_first_of_family,
        help="Choose a network made for small images, or any classifier of torchvision.",
    )
    networks = _FAMILIES[state["family"]].networks
    st.selectbox(
        "The network by its name",
        list(networks),
        key="model",
        label_visibility="collapsed",
        persist_state="session",
        format_func=lambda name: _network_line(networks[name]),
    )
    st.caption(_network_text(networks[state["model"]]))


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
            help="Import your own images: a folder or a zip file with a folder for each class.",
        )
        if clicked:
            import_images_dialog(root)
    st.caption(_dataset_text(choices[name].info))
    return choices[name]


def _choose_first_of_family() -> None:
    st.session_state["model"] = _FAMILIES[st.session_state["family"]].first


def _network_line(info: ModelInfo) -> str:
    return f"{info.name} · {short(info.parameters)} parameters · {short(info.macs)} multiply-adds"


def _network_text(info: ModelInfo) -> str:
    if info.side == 32:
        return info.description
    return (
        f"{info.description} Counted for {info.classes:,} classes and {info.side} × {info.side}"
        " pixels."
    )


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
