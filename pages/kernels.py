"""Kernels: the weights of every layer as pictures, of one model or of two side by side."""

import streamlit as st

from pages.parts.kernels.cached import layer_rows, stored_weights
from pages.parts.kernels.choice import (
    choose_kernel_layer,
    choose_kernel_options,
    draw_pairing_note,
)
from pages.parts.kernels.layer import draw_kernel_layer
from pages.parts.kernels.overview import draw_kernel_overview
from pages.parts.shared import shell
from pages.parts.shared.address import write_address
from pages.parts.shared.model_choice import choose_model, draw_no_models, finished_models

shell.guard(__file__)
store = shell.run_store()

st.title("Kernels")
st.markdown(
    "The weights that a network has learnt, layer by layer, and what compression left of them."
)
if not finished_models(store):
    draw_no_models()
    st.stop()

left, right = st.columns(2, gap="large")
with left:
    first = choose_model("Model", "a", store)
assert first is not None  # because there is a model
with right:
    second = choose_model(
        "Compared with",
        "b",
        store,
        default=first.config.parent,
        nothing="Nothing",
        help=(
            "A second model, drawn on the same scale. At first it is the model that the first one"
            " was made from."
        ),
    )
compared = [first] if second is None else [first, second]

with shell.showing_errors():
    rows = layer_rows(compared)
    draw_pairing_note(compared, rows)
    with st.container(horizontal=True, vertical_alignment="bottom", key="choices"):
        index = choose_kernel_layer(rows)
        options = choose_kernel_options(() if index is None else rows[index])
    if index is None:
        draw_kernel_overview(compared, rows, options)
    else:
        draw_kernel_layer(compared, stored_weights(compared, rows[index]), options)
write_address()
