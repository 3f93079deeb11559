"""Kernels: the weights of every layer as pictures, of one model or of two side by side."""

import streamlit as st

from pages.parts import kernels_layer, kernels_overview, shell
from pages.parts.kernels_choice import choose_layer, choose_look, difference, name
from pages.parts.kernels_pictures import file, rows
from pages.parts.model_choice import choose, models, nothing_yet

shell.guard()
store = shell.store()

st.title("Kernels")
st.markdown("The weights that a network has learnt, layer by layer, and what compression left of them.")
if not models(store):
    nothing_yet()
    st.stop()

left, right = st.columns(2, gap="large")
with left:
    first = choose("Model", "a", store)
with right:
    second = choose("Beside it", "b", store, default=first.config.parent, nothing="Nothing",
                    help="A second model, drawn on the same scale; at first what the model was made from.")
runs = [run for run in (first, second) if run]

with shell.telling():
    found = [row[:len(runs)] for row in rows(runs)]
    difference(runs, found)
    with st.container(horizontal=True, vertical_alignment="bottom", key="choices"):
        layer = choose_layer(found)
        look = choose_look(layer)
    sides = [[item and (*file(run), item.name) for run, item in zip(runs, row, strict=True)] for row in found]
    if layer is None:
        kernels_overview.show(runs, [name(row) for row in found], sides, look.mask)
    else:
        kernels_layer.show(runs, sides[found.index(layer)], look)
