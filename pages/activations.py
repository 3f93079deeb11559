"""Activations: the output of every activation function for a picture, in up to three networks.

The networks are finished models, the epochs of a training, or a network at any density.
"""

import streamlit as st

from pages.parts.activations.sources.density import choose_untrained_network
from pages.parts.activations.sources.models import choose_finished_models
from pages.parts.activations.sources.network import NetworkSource
from pages.parts.activations.sources.training import choose_training
from pages.parts.activations.view import draw_activations
from pages.parts.shared import shell
from pages.parts.shared.address import keep_choice_in_address, write_address
from pages.parts.shared.picture import Picture, choose_picture

_SOURCES = ["Models", "Training", "Density"]

shell.guard(__file__)
store = shell.run_store()
root = shell.data_folder()


def choose_source() -> NetworkSource | None:
    keep_choice_in_address("of", _SOURCES, _SOURCES[0], what="kind of networks")
    kind = st.segmented_control(
        "Networks",
        _SOURCES,
        default=_SOURCES[0],
        key="of",
        required=True,
        persist_state="session",
        help=(
            "Models: one to three finished models. Training: the epochs of a training, live."
            " Density: a network before training, pruned by SNIP to any density."
        ),
    )
    if kind == "Models":
        return choose_finished_models(store)
    if kind == "Training":
        return choose_training(store)
    return choose_untrained_network(root)


def draw_live(source: NetworkSource, picture: Picture | None) -> None:
    """Draw the activations again at every refresh of the source."""

    @st.fragment(run_every=source.refresh_seconds, key="looking")
    def draw() -> None:
        with shell.showing_errors():
            networks = source.choose_networks()
            if networks and picture:
                draw_activations(networks, picture, root)
            elif networks:
                st.info(
                    "Choose a picture: the networks' activations appear here.",
                    icon=":material/image:",
                )
        write_address()

    draw()


st.title("Activations")
st.markdown(
    "The output of every activation function for a picture: before and after compression, during a"
    " training, or at any density."
)
left, right = st.columns(2, gap="large")
source = None
with left, shell.showing_errors():
    source = choose_source()
if source is None:
    st.stop()
with right:
    picture = choose_picture(source.dataset, root)
draw_live(source, picture)
