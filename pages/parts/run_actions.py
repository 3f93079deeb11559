"""What can be done with one run: stop it, continue it, vary it, name it, throw it away, take its weights."""

from pathlib import Path

import streamlit as st

from core.runs import launch
from core.runs.run import BEST, MODEL, PACKED, Run
from core.runs.store import RunStore
from pages.parts import shell
from pages.parts.states import percent, size


def show(store: RunStore, run: Run) -> None:
    """Draw the actions that the run's state allows."""
    with st.container(horizontal=True, vertical_alignment="center", key="actions"):
        if run.active:
            _cancel(run)
        elif run.resumable:
            _resume(run)
        if run.has_model:
            _links(run)
        _duplicate(run)
        _rename(store, run)
        if not run.active and st.button("Delete", icon=":material/delete:", key="delete"):
            _delete(store, run)
        _download(run)


def _links(run: Run) -> None:
    """Where to go on with the result."""
    both = {"a": run.config.parent, "b": run.id} if run.config.parent else {"a": run.id}
    beside = ", beside those that it was made from" if run.config.parent else ""
    for page, label, icon, query, text in (
            ("quantize", "Quantize", "grain", {"run": run.id}, "Fewer values for its weights, and a smaller file."),
            ("weights", "Weights", "ssid_chart", both, f"How its weights are distributed{beside}."),
            ("activations", "Activations", "blur_on", both, "What every ReLU makes of a picture."),
            ("kernels", "Kernels", "grid_view", both, f"Its kernels{beside}.")):
        st.page_link(f"pages/{page}.py", label=label, icon=f":material/{icon}:", query_params=query, width="content",
                     help=text)


def _duplicate(run: Run) -> None:
    """An import has nothing that could be changed."""
    page = {"train": "pages/train.py", "kmeans": "pages/quantize.py", "affine": "pages/quantize.py"}
    if run.recipe.kind in page and st.button("Duplicate with changes", icon=":material/content_copy:",
                                             key="duplicate", help="Opens the form with this run's settings."):
        st.switch_page(page[run.recipe.kind], query_params={"from": run.id})


def _cancel(run: Run) -> None:
    asked = (run.path / "cancel").exists()
    if st.button("Cancelling …" if asked else "Cancel", icon=":material/stop_circle:", key="cancel", disabled=asked):
        with shell.telling():
            launch.cancel(run)
            st.rerun()


def _resume(run: Run) -> None:
    label = "Start" if run.state == "created" else "Resume"
    if st.button(label, icon=":material/play_arrow:", type="primary", key="resume"):
        with shell.telling():
            launch.resume(run, shell.data())
            st.rerun()


def _rename(store: RunStore, run: Run) -> None:
    # Keys of this run and its name: another run starts from its own name, and a new name finds the popover closed.
    with (st.popover("Rename", icon=":material/edit:", key=f"renaming-{run.id}-{run.name}"),
          st.form("rename", border=False)):
        name = st.text_input("Name", run.name, max_chars=120, key=f"name-{run.id}")
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
    name = f"{run.model}-{run.dataset}-{run.density:g}-{run.id}"
    if (path := run.path / PACKED).exists() and not run.active:
        _file(path, "Packed", f"{name}-packed.safetensors", "packed", (
            "Quantized and entropy-coded, with all that one needs to use it: Import a network takes it back."))
    if (path := run.path / MODEL).exists() and not run.active:
        _file(path, "Weights", f"{name}.safetensors", "download", (
            "In float, as a safetensors file: the last epoch's, or the quantized ones decoded. Pruned weights are "
            "exactly 0."))
    if (path := run.path / BEST).exists() and not run.active and run.status.best_accuracy != run.status.test_accuracy:
        _file(path, "Best weights", f"{name}-best.safetensors", "best", (
            f"In float, of the epoch that was best on the test images: {percent(run.status.best_accuracy)}."))


def _file(path: Path, label: str, name: str, key: str, text: str) -> None:
    st.download_button(f"{label} ({size(path.stat().st_size)})", path.read_bytes, icon=":material/download:",
                       file_name=name.replace("/", "-"), mime="application/octet-stream", on_click="ignore", key=key,
                       help=text)
