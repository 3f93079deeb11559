"""The home page of a new installation: what one gets, and three ways to begin."""

from pathlib import Path

import streamlit as st

from core.runs.store import RunStore
from pages.parts.shared.bring_your_own import draw_own_images_button, draw_own_network_button
from pages.parts.tour.start import draw_tour_button


def draw_welcome(store: RunStore, root: Path) -> None:
    """Draw the three ways to begin. root: the folder of the data sets."""
    tour, network, images = st.columns(3)
    with tour.container(border=True, height="stretch"):
        st.markdown(
            "**Take the tour**  \nLeNet5 learns to read digits, dense and pruned. Then it is"
            " quantized, and you see its files, its weights and its answers. It takes about a"
            " minute and downloads nothing."
        )
        draw_tour_button(st.container(), "Quick tour", store, root)
    with network.container(border=True, height="stretch"):
        st.markdown(
            "**Bring your own network**  \nImport a checkpoint of an image classifier. Quantize it,"
            " look into it, and leave with a file that is several times smaller."
        )
        draw_own_network_button(store, root)
    with images.container(border=True, height="stretch"):
        st.markdown(
            "**Bring your own images**  \nImport folders, a zip, .npz or Parquet. Prune a network"
            " for them before it is trained, and see what the cut weights were worth."
        )
        draw_own_images_button(root)
