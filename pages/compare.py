"""Compare: several runs side by side, by figures, origin, curves, settings and layers."""

import streamlit as st

from core.runs.comparison.compared import can_be_compared
from core.runs.run import Run
from pages.parts.compare.chosen import chosen_runs, keep_chosen_in_address
from pages.parts.compare.filters import draw_filters
from pages.parts.compare.picked import draw_picked, keep_picked_in_address
from pages.parts.compare.table import draw_choice
from pages.parts.compare.view import draw_nothing_chosen, draw_too_few_runs, draw_views
from pages.parts.shared import shell
from pages.parts.shared.address import write_address

shell.guard(__file__)

st.title("Compare")
st.markdown(
    "Choose runs in the table, and see what each of them costs, what it is worth, and in what they"
    " differ."
)
runs_by_id: dict[str, Run] = {run.id: run for run in shell.run_store().list()}
candidates = {run.id: run for run in runs_by_id.values() if can_be_compared(run)}
if len(candidates) < 2:
    draw_too_few_runs(len(candidates))
    st.stop()
keep_chosen_in_address(candidates)
chosen = chosen_runs(candidates)
keep_picked_in_address(chosen, runs_by_id)
draw_choice(draw_filters(candidates, runs_by_id), candidates, runs_by_id)
if chosen:
    draw_picked(candidates, runs_by_id)
    draw_views(chosen, runs_by_id)
else:
    draw_nothing_chosen(candidates)
write_address()
