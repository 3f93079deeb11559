"""Home: a button that shows the app at work, the newest runs, and the machine."""

import streamlit as st

from core.jobs.check import check_recipe
from core.runs.run import Run
from pages.parts.home.machine_facts import draw_machine
from pages.parts.home.recent_runs import draw_recent_runs
from pages.parts.shared import shell
from pages.parts.shared.presets import PRESETS
from pages.parts.shared.start import draw_start_button

shell.guard(__file__)
store = shell.run_store()

st.title("Secateur")
st.markdown(
    "An image classifier does not need most of its weights. SNIP finds those that it needs"
    " **before** training, from a single batch of images.  \nPick a network, see what would be cut,"
    " train what is left, and leave with the weights."
)


def create_tour(token: str) -> Run:
    recipe = PRESETS["Quick"].recipe
    check_recipe(recipe, shell.data_folder())
    return store.create(recipe, "Quick tour", token=token)


buttons = st.container(horizontal=True, vertical_alignment="center")
draw_start_button(
    buttons,
    "Quick tour",
    "tour",
    create_tour,
    shell.data_folder(),
    help_text="Trains a small pruned network in a process of its own, and opens its page.",
    stretched=False,
)
buttons.page_link("pages/train.py", label="Set up a training", icon=":material/content_cut:")
st.caption(
    "The tour cuts 90% of LeNet5 and trains the rest to read handwritten digits. It takes well"
    " under a minute and downloads nothing."
)

st.subheader("Recent runs")
draw_recent_runs(store)

st.subheader("This machine")
draw_machine()
