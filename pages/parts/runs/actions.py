"""The actions on one run: cancel, resume, duplicate, rename, delete, download, and the links."""

import streamlit as st

from core.runs import launch
from core.runs.run import BEST, MODEL, PACKED, Run
from core.runs.store import RunStore
from pages.parts.shared import shell
from pages.parts.shared.words import percent, size

# The pages whose forms can make a recipe of this kind. An import has nothing to change.
_FORM_PAGES = {
    "train": "pages/train.py",
    "kmeans": "pages/quantize.py",
    "affine": "pages/quantize.py",
}


def draw_actions(store: RunStore, run: Run) -> None:
    """Draw the actions that the run's state allows."""
    with st.container(horizontal=True, vertical_alignment="center", key="actions"):
        if run.active:
            _draw_cancel(run)
        elif run.resumable:
            _draw_resume(run)
        if run.has_model:
            _draw_links(run)
        _draw_duplicate(run)
        _draw_rename(store, run)
        if not run.active:
            _draw_delete(store, run)
            _draw_downloads(run)


def _draw_cancel(run: Run) -> None:
    is_requested = (run.path / "cancel").exists()
    clicked = st.button(
        "Cancelling …" if is_requested else "Cancel",
        icon=":material/stop_circle:",
        key="cancel",
        disabled=is_requested,
    )
    if clicked:
        with shell.showing_errors():
            launch.cancel(run)
            st.rerun()


def _draw_resume(run: Run) -> None:
    label = "Start" if run.state == "created" else "Resume"
    if st.button(label, icon=":material/play_arrow:", type="primary", key="resume"):
        with shell.showing_errors():
            launch.resume(run, shell.data_folder())
            st.rerun()


def _draw_links(run: Run) -> None:
    """Draw links to the pages that quantize the resulting model or look into it."""
    parent = run.config.parent
    compared = {"a": run.id}
    if parent:
        compared = {"a": parent, "b": run.id}
    comparison = ", compared with the model that it was made from" if parent else ""
    _draw_link(
        "quantize",
        "Quantize",
        ":material/grain:",
        {"run": run.id},
        "Give its weights fewer values, and make the file smaller.",
    )
    _draw_link(
        "weights",
        "Weights",
        ":material/ssid_chart:",
        compared,
        f"See how its weights are distributed{comparison}.",
    )
    _draw_link(
        "activations",
        "Activations",
        ":material/blur_on:",
        compared,
        f"See the output of every ReLU for a picture{comparison}.",
    )
    _draw_link(
        "kernels", "Kernels", ":material/grid_view:", compared, f"See its kernels{comparison}."
    )


def _draw_link(page: str, label: str, icon: str, query: dict[str, str], help_text: str) -> None:
    st.page_link(
        f"pages/{page}.py",
        label=label,
        icon=icon,
        query_params=query,
        width="content",
        help=help_text,
    )


def _draw_duplicate(run: Run) -> None:
    page = _FORM_PAGES.get(run.recipe.kind)
    if page is None:
        return
    clicked = st.button(
        "Duplicate with changes",
        icon=":material/content_copy:",
        key="duplicate",
        help="Open the form with this run's settings.",
    )
    if clicked:
        st.switch_page(page, query_params={"from": run.id})


def _draw_rename(store: RunStore, run: Run) -> None:
    # The keys contain the run and its name, so that the field of another run starts with that run's
    # name, and the popover is closed after the name was changed.
    with (
        st.popover("Rename", icon=":material/edit:", key=f"renaming-{run.id}-{run.name}"),
        st.form("rename", border=False),
    ):
        name = st.text_input("Name", run.name, max_chars=120, key=f"name-{run.id}")
        if st.form_submit_button("Save"):
            with shell.showing_errors():
                store.rename(run.id, name)
                st.rerun()


def _draw_delete(store: RunStore, run: Run) -> None:
    if not st.button("Delete", icon=":material/delete:", key="delete"):
        return
    with shell.showing_errors():
        store.delete(run.id)
        st.session_state["deleted"] = (run.id, run.name)
        st.query_params.clear()
        st.rerun()


def _draw_downloads(run: Run) -> None:
    """Draw a download button for each file of the result that exists."""
    _draw_download(
        run,
        PACKED,
        "Packed",
        "-packed",
        "packed",
        "Quantized and entropy-coded weights, with everything that is needed to use them. Import a"
        " network reads this file.",
    )
    _draw_download(
        run,
        MODEL,
        "Weights",
        "",
        "download",
        "Weights in float, as a safetensors file: those of the last epoch, or the quantized weights"
        " dequantized. Pruned weights are exactly 0.",
    )
    best_accuracy = run.status.best_accuracy
    if best_accuracy != run.status.test_accuracy:
        _draw_download(
            run,
            BEST,
            "Best weights",
            "-best",
            "best",
            f"Weights in float, of the epoch with the best test accuracy,"
            f" {percent(best_accuracy)}.",
        )


def _draw_download(run: Run, file: str, label: str, suffix: str, key: str, help_text: str) -> None:
    path = run.path / file
    if not path.exists():
        return
    name = f"{run.model}-{run.dataset}-{run.density:g}-{run.id}{suffix}.safetensors"
    st.download_button(
        f"{label} ({size(path.stat().st_size)})",
        path.read_bytes,
        icon=":material/download:",
        file_name=name.replace("/", "-"),
        mime="application/octet-stream",
        on_click="ignore",
        key=key,
        help=help_text,
    )
