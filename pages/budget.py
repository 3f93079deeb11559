"""Budget: say what may be spent, and a search finds the clusters or bits of each layer."""

import streamlit as st

from core.commands.budget import budget_command
from core.errors import UserError
from core.jobs.check import check_recipe
from core.runs.run import Run
from pages.parts.budget.fields import BUDGET_LABELS
from pages.parts.budget.form import draw_budget_form, refill_budget_form
from pages.parts.budget.outcome import draw_budget_outcome
from pages.parts.budget.sizes import check_limit, describe_check, float_bytes_of, smallest_bytes
from pages.parts.quantize.model import describe_model
from pages.parts.shared import shell
from pages.parts.shared.address import take_from_address, write_address
from pages.parts.shared.parent import choose_parent
from pages.parts.shared.start import draw_impossible_start, draw_start_button

shell.guard(__file__)
store = shell.run_store()
root = shell.data_folder()

st.title("Budget")
st.markdown(
    "Say what you can spend: bytes, points of accuracy, or time. The search finds out what each"
    " layer gets, shows all that it tries, and says whether the limit is kept."
)
with shell.showing_errors():
    source = take_from_address("from")  # set by "Duplicate with changes" of a run
    if source:
        refill_budget_form(store.get(source))

form, outcome = st.columns([5, 6], gap="large")
parent = None
with form, shell.showing_errors():
    parent = choose_parent(store, describe_model)
if parent is None:
    st.stop()
parent_id = parent.id

with outcome:
    start = st.container()
    place = st.empty()
with form:
    try:
        float_bytes = float_bytes_of(parent)
        recipe = draw_budget_form(parent, float_bytes)
        check_recipe(recipe, root, BUDGET_LABELS, parent.dataset)
        with place, st.spinner(describe_check(recipe)):
            check_limit(parent, recipe)
            has_sizes = not recipe.layers and recipe.faster is None
            smallest = smallest_bytes(parent, recipe) if has_sizes else None
    except UserError as error:
        draw_impossible_start(start, "Fit the budget", "budget", error, "This cannot work")
        write_address()
        st.stop()

with outcome:

    def create_run(token: str) -> Run:
        return store.create(recipe, parent=parent_id, token=token)

    label = "Apply this choice" if recipe.layers else "Fit the budget"
    draw_start_button(start, label, "budget", create_run, root)
    st.subheader("Before the start", anchor=False)
    draw_budget_outcome(parent, recipe, float_bytes, smallest, root)
    st.subheader("The same from a terminal", anchor=False)
    st.code(budget_command(recipe, parent_id), language="bash", wrap_lines=True)
write_address()
