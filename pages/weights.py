"""Weights: how those of one model or of two are distributed, in the whole network or in one layer."""

import streamlit as st

from pages.parts import model_choice, shell, weights_choice, weights_layers, weights_levels, weights_view

shell.guard()
store = shell.store()

st.title("Weights")
st.markdown("How often each value occurs among the weights, before and after: what was pruned, what was quantized, and "
            "what that changed.")
if not (runs := model_choice.models(store)):
    model_choice.nothing_yet()
    st.stop()
with shell.telling():
    first, second = weights_choice.models(store, runs)
    asked = weights_choice.options(first, second)
    with shell.telling():  # one layer that cannot be drawn leaves the others to choose
        weights_view.draw(asked)
        weights_levels.draw(asked)
    weights_layers.draw(asked)
