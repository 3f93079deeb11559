"""Sweep: lists of settings, of which every combination is run; or one sweep: /sweep?sweep=ID."""

import streamlit as st

from pages.parts.shared import shell
from pages.parts.shared.address import write_address
from pages.parts.sweep.earlier import draw_earlier_sweeps
from pages.parts.sweep.form.new import draw_new_sweep
from pages.parts.sweep.view import draw_sweep

shell.guard(__file__)
store = shell.run_store()
sweep_id = st.query_params.get("sweep")
if sweep_id:
    draw_sweep(store, sweep_id)
else:
    st.title("Sweep")
    st.markdown(
        "List several values of a setting. Every combination is trained, perhaps compressed, and"
        " tested, one after the other, and a chart shows them together."
    )
    draw_new_sweep(store, shell.data_folder())
    draw_earlier_sweeps(store)
    write_address()
