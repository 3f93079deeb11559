"""Train: a form for the recipe, a preview of the pruning, and the button that starts the run."""

import streamlit as st

from core.commands.train import train_command
from core.errors import UserError
from core.jobs.check import check_recipe
from core.runs.run import Run
from pages.parts.shared import shell
from pages.parts.shared.address import take_from_address, write_address
from pages.parts.shared.start import draw_impossible_start, draw_start_button
from pages.parts.sweep.form.base import address_of_recipe
from pages.parts.sweep.link import draw_sweep_link
from pages.parts.train.form import draw_presets, form_recipe, refill_form
from pages.parts.train.network import draw_network_choice
from pages.parts.train.preview import draw_preview
from pages.parts.train.pruning import draw_pruning_settings
from pages.parts.train.subject import draw_dataset_choice
from pages.parts.train.training import draw_training_settings

shell.guard(__file__)
store = shell.run_store()
root = shell.data_folder()

st.title("Train")
st.markdown("Choose a network and images, see what would be cut, and start.")
with shell.showing_errors():
    source = take_from_address("from")  # set by "Duplicate with changes" of a run
    if source:
        refill_form(store.get(source))

form, outcome = st.columns([5, 6], gap="large")
with form:
    draw_presets()
    draw_network_choice()
    dataset = draw_dataset_choice(root)
    draw_pruning_settings()
    draw_training_settings(dataset.info)

with outcome:
    start = st.container()
    try:
        recipe = form_recipe()
        check_recipe(recipe, root)
    except UserError as error:
        draw_impossible_start(start, "Start training", "launch", error, "This cannot be trained")
        st.stop()

    def create_run(token: str) -> Run:
        return store.create(recipe, token=token)

    draw_start_button(start, "Start training", "launch", create_run, root)
    draw_sweep_link(start, address_of_recipe(recipe))
    st.subheader("Preview", anchor=False)
    preview = st.container()
    st.subheader("The same from a terminal", anchor=False)
    st.code(train_command(recipe), language="bash", wrap_lines=True)
    with preview:  # drawn last, because it can take seconds
        draw_preview(recipe, dataset, root)
write_address()
