"""What can be done with one run: stop it, continue it, vary it, name it, throw it away, take its weights."""

import streamlit as st

from core.runs import launch
from core.runs.store import Run, RunStore
from pages.parts import shell


def show(store: RunStore, run: Run) -> None:
    """Draw the actions that the run's state allows."""
    with st.container(horizontal=True, key="actions"):
        if run.active:
            _cancel(run)
        elif run.resumable:
            _resume(run)
        if st.button("Duplicate with changes", icon=":material/content_copy:", key="duplicate"):
            st.switch_page("pages/train.py", query_params={"from": run.id})
        _rename(store, run)
        if not run.active and st.button("Delete", icon=":material/delete:", key="delete"):
            _delete(store, run)
        _download(run)


def _cancel(run: Run) -> None:
    asked = (run.path / "cancel").exists()
    if st.button("Cancelling …" if asked else "Cancel", icon=":material/stop_circle:", key="cancel", disabled=asked):
        launch.cancel(run)
        st.rerun()


def _resume(run: Run) -> None:
    label = "Start" if run.state == "created" else "Resume"
    if st.button(label, icon=":material/play_arrow:", type="primary", key="resume"):
        with shell.telling():
            launch.resume(run, shell.data())
            st.rerun()


def _rename(store: RunStore, run: Run) -> None:
    with st.popover("Rename", icon=":material/edit:"), st.form("rename", border=False):
        name = st.text_input("Name", run.name, max_chars=120, key="name")
        if st.form_submit_button("Save"):
            with shell.telling():
                store.rename(run.id, name)
                st.rerun()


def _delete(store: RunStore, run: Run) -> None:
    with shell.telling():
        store.delete(run.id)
        st.session_state["deleted"] = run.id, run.name
        st.query_params.clear()
        st.rerun()


def _download(run: Run) -> None:
    path = run.path / "model.safetensors"
    if run.active or not path.exists():
        return
    st.download_button(f"Weights ({path.stat().st_size / 1e6:.1f} MB)", path.read_bytes, icon=":material/download:",
                       file_name=f"{run.recipe.model}-{run.recipe.dataset}-{run.recipe.density:g}-{run.id}.safetensors",
                       mime="application/octet-stream", on_click="ignore", key="download",
                       help="The last epoch's weights as a safetensors file; pruned weights are exactly 0.")
