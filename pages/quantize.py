"""Quantize: a model, fewer values for its weights; what that would do to each layer; and one button."""

import secrets
import sys

import streamlit as st

from core.errors import UserError
from core.quantize import command
from core.runs import launch
from pages.parts import quantize_form, quantize_model, shell
from pages.parts.states import plain

shell.guard()
store, root = shell.store(), shell.data()

if not st.session_state.get("quantize"):  # of two clicks, the second finds the same token, and so the same run
    st.session_state["quantize_token"] = secrets.token_hex(16)

st.title("Quantize")
st.markdown("Give the weights of a trained network a few values only, see what that does to every layer, and leave "
            "with a file that is several times smaller.")
with shell.telling():
    if source := st.query_params.get("from"):  # "Duplicate with changes" of a run
        quantize_form.refill(store.get(source))
        del st.query_params["from"]

choices, outcome = st.columns([5, 6], gap="large")
with choices:
    if (parent := quantize_model.choose(store, root)) is None:
        st.stop()
    with outcome:
        start, problem = st.container(), st.container()
    try:
        recipe = quantize_form.draw(quantize_model.shapes(parent), parent.id)
        if recipe.device not in ("auto", "cpu"):
            from core.training.device import resolve  # brings torch

            resolve(recipe.device)
    except UserError as error:
        problem.error(plain(str(error)), icon=":material/error:", title="This cannot be quantized")
        start.button("Quantize", type="primary", key="quantize", disabled=True, width="stretch")
        st.stop()

with outcome:
    if start.button("Quantize", icon=":material/play_arrow:", type="primary", key="quantize", width="stretch",
                    help="Runs in a process of its own: you can close the browser."):
        with shell.telling():
            run = launch.start(store.create(recipe, parent=parent.id, token=st.session_state["quantize_token"]), root)
            shell.open_run(run.id)
    st.subheader("What it would do", anchor=False)
    figures = st.container()
    st.subheader("The same from a terminal", anchor=False)
    st.code(command(recipe, parent.id), language="bash", wrap_lines=True)

st.subheader("Layer by layer", anchor=False)
place = st.empty()
with shell.telling():
    if "torch" not in sys.modules:
        place.progress(0.0, text="Getting ready, which takes a few seconds once …")
    from pages.parts import quantize_layers, quantize_outcome  # last, because they bring torch

    found = quantize_outcome.planned(parent, recipe, place)
    with figures:
        quantize_outcome.draw(parent, recipe, found, root)
    quantize_layers.draw(parent, recipe, found, root)
