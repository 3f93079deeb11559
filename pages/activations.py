"""Activations: what every ReLU makes of a picture, in finished models, during a training, or at any density."""

import streamlit as st

from pages.parts import activations_sources, activations_view, image_input, shell

SOURCES = {"Models": activations_sources.models, "Training": activations_sources.training,
           "Density": activations_sources.density}

shell.guard()
store, root = shell.store(), shell.data()

st.title("Activations")
st.markdown("What every ReLU of a network makes of a picture: beside its compressed self, while it learns, or as it is "
            "cut.")
left, right = st.columns(2, gap="large")
with left:
    kind = st.segmented_control("Look at", list(SOURCES), default="Models", key="of", required=True,
                                bind="query-params", help="Models: one to three finished ones. Training: its epochs, "
                                "live. Density: a network before training, cut by SNIP at any density.")
    source = None
    with shell.telling():
        source = SOURCES[kind](store, root)
if source is None:
    st.stop()
with right:
    picture = image_input.choose(source.dataset, root)


@st.fragment(run_every=source.tick, key="looking")
def looking() -> None:
    with shell.telling():
        subjects = source.subjects()
        if subjects and picture:
            activations_view.show(subjects, picture, root)
        elif subjects:
            st.info("Choose a picture: what the networks make of it appears here.", icon=":material/image:")


looking()
