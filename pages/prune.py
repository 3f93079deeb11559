"""Prune: a form for the recipe, a forecast for each layer, and the accuracy by density."""

import sys

import streamlit as st

from core.commands.prune import prune_command
from core.errors import UserError
from core.jobs.check import check_recipe
from core.runs.prune import check_parent
from core.runs.run import Run
from pages.parts.prune.fields import PRUNE_LABELS
from pages.parts.prune.form import draw_prune_form, refill_prune_form
from pages.parts.prune.model import describe_parent
from pages.parts.shared import shell
from pages.parts.shared.address import take_from_address, write_address
from pages.parts.shared.parent import choose_parent
from pages.parts.shared.start import draw_impossible_start, draw_start_button

shell.guard(__file__)
store = shell.run_store()
root = shell.data_folder()

st.title("Prune")
st.markdown(
    "Remove most weights of a trained network, see what each layer keeps and how far the accuracy"
    " falls, and win it back by fine-tuning."
)
with shell.showing_errors():
    source = take_from_address("from")  # set by "Duplicate with changes" of a run
    if source:
        refill_prune_form(store.get(source))

form, outcome = st.columns([5, 6], gap="large")
parent = None
with form, shell.showing_errors():
    parent = choose_parent(store, describe_parent)
if parent is None:
    st.stop()
parent_id = parent.id

with outcome:
    start = st.container()
with form:
    try:
        recipe = draw_prune_form(parent, root)
        check_recipe(recipe, root, PRUNE_LABELS, parent.dataset)
        check_parent(recipe, parent, PRUNE_LABELS)
    except UserError as error:
        draw_impossible_start(start, "Prune", "prune", error, "This cannot be pruned")
        write_address()
        st.stop()

with outcome:

    def create_run(token: str) -> Run:
        return store.create(recipe, parent=parent_id, token=token)

    draw_start_button(start, "Prune", "prune", create_run, root)
    st.subheader("Forecast", anchor=False)
    figures = st.container()
    place = st.empty()
    st.subheader("Accuracy without fine-tuning", anchor=False)
    curve = st.container()
    st.subheader("The same from a terminal", anchor=False)
    st.code(prune_command(recipe, parent_id), language="bash", wrap_lines=True)

with shell.showing_errors():
    if "torch" not in sys.modules:
        place.progress(0.0, text="Getting ready, which takes a few seconds once …")
    # Imported last, because they import torch, which takes seconds.
    from pages.parts.prune.forecast import draw_layer_densities, draw_pruning_figures
    from pages.parts.prune.preview import scored_parent
    from pages.parts.prune.trial import draw_trial

    scored = scored_parent(parent, recipe, root, place)
    if scored is not None:
        with figures:
            draw_pruning_figures(parent, recipe, scored, root)
        st.subheader("Layer by layer", anchor=False)
        draw_layer_densities(recipe, scored)
    with curve:
        draw_trial(parent, recipe, root)
write_address()
