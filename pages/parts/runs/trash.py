"""Deleted runs: the undo right after a deletion, and the trash."""

import streamlit as st

from core.runs.run import Run
from core.runs.store import RunStore
from core.runs.trash import TRASH_DAYS
from pages.parts.server.permission import permission
from pages.parts.shared import shell
from pages.parts.shared.words import plain, size


def draw_undo(store: RunStore) -> None:
    """Right after a deletion: say so, and draw the button that takes it back."""
    run_id, name = st.session_state.get("deleted", ("", ""))
    if run_id not in [run.id for run in store.trash()]:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f":material/delete: “{plain(name)}” is in the trash.", width="content")
        if st.button("Undo", icon=":material/undo:", key="undo"):
            _restore(store, run_id)


def draw_trash(store: RunStore) -> None:
    """Draw the deleted runs, if there are any, with the buttons to restore or delete them."""
    runs = store.trash()
    if not runs:
        return
    label = f"Trash ({len(runs)}, {size(store.trash_bytes())})"
    with st.expander(label, icon=":material/delete:", key="trash"):
        st.caption(f"Deleted runs stay here for {TRASH_DAYS} days.")
        for run in runs:
            _draw_deleted_run(store, run)
        own = [run for run in runs if store.access.may_change(run)]
        if not own:
            return
        with st.popover("Empty the trash", icon=":material/delete_forever:"):
            st.markdown("This cannot be undone.")
            if st.button(f"Delete {len(own)} for good", type="primary", key="empty"):
                st.session_state.pop("deleted", None)
                with shell.showing_errors():
                    store.empty_trash()
                    st.rerun()


def _draw_deleted_run(store: RunStore, run: Run) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        clicked = st.button(
            "Restore",
            icon=":material/restore_from_trash:",
            key=f"restore-{run.id}",
            **permission(run),
        )
        if clicked:
            _restore(store, run.id)
        st.markdown(plain(run.name), width="stretch")


def _restore(store: RunStore, run_id: str) -> None:
    st.session_state.pop("deleted", None)
    with shell.showing_errors():
        store.restore(run_id)
        st.rerun()
