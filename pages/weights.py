"""Weights: the distribution of one model's weights or of two, in the network or in one layer."""

import streamlit as st

from pages.parts.shared import model_choice, shell
from pages.parts.shared.address import write_address
from pages.parts.weights.choice import choose_layer_and_picture, choose_two_models
from pages.parts.weights.levels import draw_levels
from pages.parts.weights.table import draw_weights_table
from pages.parts.weights.view import draw_weight_charts

shell.guard(__file__)
store = shell.run_store()

st.title("Weights")
st.markdown(
    "How often each value occurs among the weights, before and after: what was pruned, what was"
    " quantized, and what that changed."
)
runs = model_choice.finished_models(store)
if not runs:
    model_choice.draw_no_models()
    st.stop()
with shell.showing_errors():
    first, second = choose_two_models(store, runs)
    choice = choose_layer_and_picture(first, second)
    with shell.showing_errors():  # an error in one layer leaves the table, to choose another layer
        draw_weight_charts(choice)
        draw_levels(choice)
    draw_weights_table(choice)
write_address()
