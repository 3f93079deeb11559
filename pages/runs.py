"""Runs: a table of all runs, or one run in full if the address names it: /runs?run=ID."""

import streamlit as st

from core.runs import launch
from pages.parts.runs.table import draw_runs
from pages.parts.runs.view import draw_run
from pages.parts.shared import shell
from pages.parts.shared.address import write_address

shell.guard(__file__)
store = shell.run_store()
if not store.access.rules.read_only:
    with shell.showing_errors():
        launch.look_after(store.root)
run_id = st.query_params.get("run")
if run_id:
    draw_run(store, run_id)
else:
    draw_runs(store)
write_address()
