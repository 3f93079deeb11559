"""Whose the runs are: the words for it, and the filter by "mine" where people log in."""

from collections.abc import Sequence

import streamlit as st

from core.runs.access.access import Access
from core.runs.run import Run
from pages.parts.shared.address import keep_in_address, parse_flag

_MINE = "mine"


def owner_name(run: Run) -> str:
    """Return the name of the one who made the run, "" if nobody was logged in."""
    return "" if run.owner is None else run.owner.name


def draw_owner_filter(access: Access) -> bool:
    """Draw the switch, and return whether only one's own runs are wanted. Address: ?mine=true."""
    keep_in_address(_MINE, False, parse_flag)
    if access.person is None:
        return False
    return st.toggle("Only mine", key=_MINE, persist_state="session")


def runs_of(access: Access, runs: Sequence[Run], only_mine: bool) -> list[Run]:
    """Return the runs of the one who asks, or all of them, in the same order."""
    return [run for run in runs if not only_mine or access.owns(run)]
