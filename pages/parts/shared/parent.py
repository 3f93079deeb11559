"""The choice of the model from which a run starts, with the button that imports one."""

from collections.abc import Callable

import streamlit as st

from core.runs.run import Run
from core.runs.store import RunStore
from pages.parts.shared.import_network import draw_import_network_button
from pages.parts.shared.model_choice import choose_model, finished_models, is_quantized


def choose_parent(store: RunStore, describe: Callable[[Run], str]) -> Run | None:
    """Draw the choice of the model, which the address carries as ?run=ID.

    At first it is the newest model that is not quantized yet. describe: says below the choice what
    the model is. Returns None if there is no model yet. Raises UserError if its file is gone.
    """
    models = finished_models(store)
    newest_float = next((id for id, run in models.items() if not is_quantized(run)), None)
    with st.container(horizontal=True, vertical_alignment="bottom", key="models"):
        with st.container():
            run = choose_model("Model", "run", store, among=models, default=newest_float)
        draw_import_network_button(store)
    if run is not None:
        st.caption(describe(run))
    return run
