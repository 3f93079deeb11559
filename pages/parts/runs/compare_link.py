"""The link from a run to the comparison with its parent and with what was made from it."""

import streamlit as st

from core.runs.comparison.compared import can_be_compared, near_family
from core.runs.run import Run
from core.runs.store import RunStore


def draw_compare_link(store: RunStore, run: Run) -> None:
    """Draw the link to Compare, if the run can be compared at all."""
    if not can_be_compared(run):
        return
    family = [member.id for member in near_family(run, store.list()) if can_be_compared(member)]
    st.page_link(
        "pages/compare.py",
        label="Compare",
        icon=":material/compare_arrows:",
        query_params={"runs": ",".join(family)},
        width="content",
        help="See accuracy, size and settings beside those of its parent and of what was made from"
        " it.",
    )
