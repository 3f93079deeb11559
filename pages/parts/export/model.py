"""The choice of the network to export."""

import streamlit as st

from core.config import Int8Recipe
from core.errors import UserError
from core.runs.run import Run
from core.runs.store import RunStore
from pages.parts.shared.address import choose, take_from_address
from pages.parts.shared.model_choice import choose_model
from pages.parts.shared.words import kept, plain


def choose_network(store: RunStore) -> Run | None:
    """Draw the choice of a finished run with weights, which the address carries as ?run=ID.

    An address that names a file in integers chooses the network that it was made from.
    """
    _take_parent_of_integers(store)
    run = choose_model("Network", "run", store)
    if run is not None:
        st.caption(f"{run.model} on {plain(run.dataset)}, {kept(run.density)}.")
    return run


def _take_parent_of_integers(store: RunStore) -> None:
    run_id = take_from_address("of")
    if run_id is None:
        return
    try:
        run = store.get(run_id)
        if isinstance(run.recipe, Int8Recipe):
            run = _parent_in_float(store, run)
    except UserError as error:
        st.warning(plain(str(error)), icon=":material/search_off:")
        return
    choose("run", run.id)


def _parent_in_float(store: RunStore, made: Run) -> Run:
    """Return the network that a file in integers was made from. Raises UserError if it is gone."""
    try:
        return store.get(str(made.config.parent))
    except UserError:
        raise UserError(
            f"The network in float that “{made.name}” was made from is gone. Its 8-bit file is"
            " still there: its run has the download, and `python -m core export"
            f" {made.id} --to onnx-int8 --out int8.onnx` tests it too. Its speed and its error by"
            " layer need the network."
        ) from None
