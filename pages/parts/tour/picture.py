"""The last step of the tour: a picture in all three networks, and where to go from here."""

from pathlib import Path

import streamlit as st

from core.runs.run import MODEL, Run
from core.runs.store import RunStore
from pages.parts.activations.cached import compare_activations
from pages.parts.activations.image_row import draw_network_row
from pages.parts.activations.legend import draw_legend
from pages.parts.activations.navigator import layer_name
from pages.parts.activations.sources.network import InspectedNetwork, network_of_file
from pages.parts.activations.view import draw_predictions
from pages.parts.shared import shell
from pages.parts.shared.bring_your_own import draw_own_images_button, draw_own_network_button
from pages.parts.shared.picture import Picture, choose_picture, thumbnail
from pages.parts.shared.words import plain

_NAMES = ["dense", "pruned", "quantized"]
_PICTURE_WIDTH = 110  # pixels
_ROW = (270, 1.0)  # width of a network's channels in pixels, and width divided by height


def draw_picture_step(models: list[Run], root: Path) -> None:
    """Draw the choice of a picture, the answers, and the activations of the first layer."""
    left, right = st.columns([2, 5], gap="large")
    with left:
        picture = choose_picture(models[0].dataset, root)
    if picture is None:
        return
    with shell.showing_errors():
        networks = [
            network_of_file(name, run.path / MODEL)
            for name, run in zip(_NAMES, models, strict=True)
        ]
        with left:
            st.image(thumbnail(picture.image), width=_PICTURE_WIDTH, alt=plain(picture.name))
            draw_predictions(networks, compare_activations(networks, picture), picture)
        with right:
            _draw_first_layer(networks, picture)


def _draw_first_layer(networks: list[InspectedNetwork], picture: Picture) -> None:
    comparison = compare_activations(networks, picture)
    row = comparison.rows[0]
    st.markdown(f"**The first activation, {plain(layer_name(row))}**, channel by channel")
    channel = st.session_state.get("channel", 0)
    draw_network_row(comparison, row, comparison.channel_mosaics(row, "channel", *_ROW), channel)
    draw_legend(comparison, differences=False)


def draw_next_links(models: list[Run], store: RunStore, root: Path) -> None:
    """Draw the links to the pages that do with any network what the tour did with this one."""
    dense, pruned, quantized = (run.id for run in models)
    st.subheader("And now", anchor=False)
    with st.container(horizontal=True, vertical_alignment="center", key="tour_links"):
        st.page_link("pages/train.py", label="Train", icon=":material/content_cut:")
        _draw_link("Quantize", "quantize", ":material/grain:", run=pruned)
        _draw_link(
            "Activations", "activations", ":material/blur_on:", a=dense, b=pruned, c=quantized
        )
        runs = ",".join((dense, pruned, quantized))
        _draw_link("Compare", "compare", ":material/compare_arrows:", runs=runs)
        draw_own_network_button(store, root)
        draw_own_images_button(root)


def _draw_link(label: str, page: str, icon: str, **address: str) -> None:
    st.page_link(f"pages/{page}.py", label=label, icon=icon, query_params=address)
