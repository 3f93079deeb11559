"""Runs: all of them in a table, or one of them in full, which the address names: /runs?run=ID."""

import streamlit as st

from pages.parts import run_table, run_view, shell

shell.guard()
if run_id := st.query_params.get("run"):
    run_view.show(shell.store(), run_id)
else:
    run_table.show(shell.store())
