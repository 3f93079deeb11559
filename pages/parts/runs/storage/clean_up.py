"""The disk that all runs take, and the dialog that shows what can go before anything is removed."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.runs.space.disk_use import DiskUse
from core.runs.space.proposals import (
    PROPOSAL_KINDS,
    Proposal,
    ProposalKind,
    propose,
    proposed_bytes,
)
from core.runs.space.removal import remove_proposed
from core.runs.store import RunStore
from core.runs.trash import TRASH_DAYS
from pages.parts.server.permission import permission
from pages.parts.shared.words import size

_PREVIEW = "clean_preview"
_CLEANED = "cleaned"
_DAYS = 90

_COLUMNS = {
    "name": st.column_config.TextColumn("Run"),
    "what": st.column_config.TextColumn("What"),
    "size": st.column_config.NumberColumn("Size", format="%.1f kB"),
}


def draw_disk_use(store: RunStore, runs: int, use: DiskUse) -> None:
    """Draw how much of the disk so many runs take, and the button that opens the dialog."""
    cleaned = st.session_state.pop(_CLEANED, None)
    if cleaned:
        st.toast(cleaned, icon=":material/cleaning_services:")
    trash = store.trash_bytes()
    at_least = "" if use.is_complete else "at least "
    text = f"{_count(runs)} {at_least}{size(use.total)} on disk"
    if trash:
        text += f", and the trash {size(trash)}"
    if not use.is_complete:
        text += ". Not all are measured yet"
    with st.container(horizontal=True, vertical_alignment="center", key="disk_use"):
        st.caption(f"{text}.", width="content")
        clicked = st.button(
            "Clean up …",
            icon=":material/cleaning_services:",
            key="clean_up",
            type="tertiary",
            **permission(None, "See what can go, with its size, before anything is removed."),
        )
    if clicked:
        clean_up_dialog(store)


def _count(runs: int) -> str:
    return "1 run takes" if runs == 1 else f"{runs:,} runs take"


@st.dialog("Clean up", width="large", icon=":material/cleaning_services:")
def clean_up_dialog(store: RunStore) -> None:
    """Show what can be removed, with the bytes of each thing, and remove what is chosen."""
    # What a person saw counts, and not what became possible since.
    seen: list[Proposal] = st.session_state.get(_PREVIEW, [])
    st.caption(
        "A run that another one was made from stays, and so does a run with a tag. Runs go to the"
        f" trash, from where they can be restored for {TRASH_DAYS} days."
    )
    days = st.number_input(
        "A run is old after so many days", 1, 10_000, value=_DAYS, key="clean_days", width=260
    )
    proposals = propose(store, days)
    chosen = _choose(proposals)
    _draw_preview(chosen)
    st.session_state[_PREVIEW] = chosen
    label = f"Remove {len(chosen):,} ({size(proposed_bytes(chosen))})"
    clicked = st.button(
        label, icon=":material/delete_sweep:", type="primary", key="clean_go", disabled=not chosen
    )
    if clicked:
        removed = remove_proposed(store, seen, days)
        st.session_state[_CLEANED] = removed_text(removed)
        st.session_state.pop(_PREVIEW)
        st.rerun()


def _choose(proposals: Sequence[Proposal]) -> list[Proposal]:
    """Draw a box for each kind, and return the proposals of those that are ticked."""
    kinds: list[ProposalKind] = []
    for kind, facts in PROPOSAL_KINDS.items():
        items = [item for item in proposals if item.kind == kind]
        description = facts.description.capitalize()
        ticked = st.checkbox(
            f"{description}: **{len(items):,}, {size(proposed_bytes(items))}**",
            value=kind in ("checkpoints", "stopped"),
            disabled=not items,
            key=f"clean_{kind}",
        )
        if ticked:
            kinds.append(kind)
    return [item for item in proposals if item.kind in kinds]


def _draw_preview(chosen: Sequence[Proposal]) -> None:
    if not chosen:
        st.info("Nothing is chosen, or there is nothing to remove.", icon=":material/eco:")
        return
    rows = [
        {"name": item.name, "what": PROPOSAL_KINDS[item.kind].title, "size": item.bytes / 1000}
        for item in chosen
    ]
    st.dataframe(
        pd.DataFrame(rows, columns=list(_COLUMNS)),
        hide_index=True,
        column_config=_COLUMNS,
        key="clean_table",
        alt=f"Name, kind and size of {len(rows)} things that can go",
    )
    to_trash = [item for item in chosen if PROPOSAL_KINDS[item.kind].to_trash]
    freed = proposed_bytes(chosen) - proposed_bytes(to_trash)
    st.caption(
        f"{size(proposed_bytes(to_trash))} go to the trash, which frees them when it is emptied."
        f" {size(freed)} are deleted for good."
    )


def removed_text(removed: Sequence[Proposal]) -> str:
    """Say what was removed."""
    to_trash = [item for item in removed if PROPOSAL_KINDS[item.kind].to_trash]
    freed = proposed_bytes(removed) - proposed_bytes(to_trash)
    runs = "1 run is" if len(to_trash) == 1 else f"{len(to_trash):,} runs are"
    return f"{size(freed)} freed. {runs} in the trash ({size(proposed_bytes(to_trash))})."
