"""Quantize: a form for the recipe, a forecast for each layer, and the button to start the run."""

import sys

import streamlit as st

from core.commands.quantize import quantize_command
from core.errors import UserError
from core.jobs.check import check_recipe
from core.runs.run import Run
from pages.parts.quantize.form import draw_quantize_form, refill_quantize_form
from pages.parts.quantize.model import describe_model, tensor_shapes
from pages.parts.shared import shell
from pages.parts.shared.address import take_from_address, write_address
from pages.parts.shared.parent import choose_parent
from pages.parts.shared.start import draw_impossible_start, draw_start_button
from pages.parts.sweep.link import address_of_quantization, draw_sweep_link

shell.guard(__file__)
store = shell.run_store()
root = shell.data_folder()

st.title("Quantize")
st.markdown(
    "Give the weights of a trained network a few values only, see what that does to every layer,"
    " and leave with a file that is several times smaller."
)
with shell.showing_errors():
    source = take_from_address("from")  # set by "Duplicate with changes" of a run
    if source:
        refill_quantize_form(store.get(source))

form, outcome = st.columns([5, 6], gap="large")
parent = None
with form, shell.showing_errors():
    parent = choose_parent(store, describe_model)
if parent is None:
    st.stop()
parent_id = parent.id

with outcome:
    start = st.container()
with form:
    try:
        recipe = draw_quantize_form(tensor_shapes(parent), parent, root)
        check_recipe(recipe, root, dataset=parent.dataset)
    except UserError as error:
        draw_impossible_start(start, "Quantize", "quantize", error, "This cannot be quantized")
        st.stop()

with outcome:

    def create_run(token: str) -> Run:
        return store.create(recipe, parent=parent_id, token=token)

    draw_start_button(start, "Quantize", "quantize", create_run, root)
    draw_sweep_link(start, address_of_quantization(recipe, parent_id))
    st.subheader("Forecast", anchor=False)
    totals = st.container()
    st.subheader("The same from a terminal", anchor=False)
    st.code(quantize_command(recipe, parent_id), language="bash", wrap_lines=True)

st.subheader("Layer by layer", anchor=False)
place = st.empty()
with shell.showing_errors():
    if "torch" not in sys.modules:
        place.progress(0.0, text="Getting ready, which takes a few seconds once …")
    # Imported last, because they import torch, which takes seconds.
    from pages.parts.quantize.comparison import draw_rounding_comparison
    from pages.parts.quantize.layers import draw_layer_plans
    from pages.parts.quantize.outcome import draw_plan_totals, quantization_plan

    plan = quantization_plan(parent, recipe, place)
    with totals:
        draw_plan_totals(parent, recipe, plan, root)
    draw_layer_plans(parent, recipe, plan, root)
    draw_rounding_comparison(parent, recipe, plan, root)
write_address()
