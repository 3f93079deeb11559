"""The actions on one run: the next step, the downloads, and a menu with everything else."""

from pathlib import Path

import streamlit as st

from core.config import TrainRecipe
from core.runs import launch
from core.runs.run import BEST, INT8, MODEL, PACKED, Run
from core.runs.store import RunStore
from pages.parts.runs.compare_link import draw_compare_link
from pages.parts.runs.reader import draw_reader_button
from pages.parts.runs.storage.zip_download import draw_zip_download
from pages.parts.server.permission import draw_refusal, permission
from pages.parts.shared import shell
from pages.parts.shared.accuracies import accuracy_text, best_words
from pages.parts.shared.model_choice import is_quantized
from pages.parts.shared.words import size

# The pages whose forms can make a recipe of this kind. An import has nothing to change.
_FORM_PAGES = {
    "train": "pages/train.py",
    "kmeans": "pages/quantize.py",
    "affine": "pages/quantize.py",
    "prune": "pages/prune.py",
    "budget": "pages/budget.py",
}


def draw_actions(store: RunStore, run: Run) -> None:
    """Draw the actions that the run's state allows, the main one first."""
    with st.container(horizontal=True, vertical_alignment="center", key="actions"):
        if run.active:
            _draw_cancel(run)
            _draw_link_to_live_activations(run)
            if run.status.waits_for_cluster:
                _draw_run_here(run)
        else:
            if run.resumable:
                _draw_resume(run)
                if run.status.job is not None:
                    _draw_run_here(run)
            elif run.has_model and not is_quantized(run):
                _draw_quantize(run)
                _draw_budget(run)
                _draw_prune(run)
            _draw_downloads(run)
        _draw_menu(store, run)
    draw_refusal(run)


def _draw_menu(store: RunStore, run: Run) -> None:
    """Draw the menu. Deleting is at its end, away from the downloads."""
    # The key contains the name, so that the menu is closed after the name was changed.
    with st.popover("More", icon=":material/more_horiz:", key=f"menu-{run.id}-{run.name}"):
        if run.has_model:
            _draw_links(store, run)
        draw_compare_link(store, run)
        _draw_duplicate(run)
        if not run.active:
            draw_zip_download(run)
        _draw_rename(store, run)
        if not run.active:
            st.divider()
            _draw_delete(store, run)


def _draw_cancel(run: Run) -> None:
    is_requested = (run.path / "cancel").exists()
    clicked = st.button(
        "Cancelling …" if is_requested else "Cancel",
        icon=":material/stop_circle:",
        key="cancel",
        **permission(run, disabled=is_requested),
    )
    if clicked:
        with shell.showing_errors():
            launch.cancel(run)
            st.rerun()


def _draw_link_to_live_activations(run: Run) -> None:
    """Link to the activations of a training that goes on. Other runs have none that change."""
    if isinstance(run.recipe, TrainRecipe) and run.recipe.keep_every:
        st.page_link(
            "pages/activations.py",
            label="Watch its activations",
            icon=":material/blur_on:",
            query_params={"of": "Training", "training": run.id},
            width="content",
            help="The activations for a picture after each epoch, as soon as it ends.",
        )


def _draw_resume(run: Run) -> None:
    label = "Start" if run.state == "created" else "Resume"
    clicked = st.button(
        label, icon=":material/play_arrow:", type="primary", key="resume", **permission(run)
    )
    if clicked:
        with shell.showing_errors():
            launch.resume(run, shell.data_folder())
            st.rerun()


def _draw_run_here(run: Run) -> None:
    clicked = st.button(
        "Run here instead",
        icon=":material/computer:",
        key="run_here",
        **permission(run, "Do not use the cluster, and continue on the machine of this app."),
    )
    if clicked:
        with shell.showing_errors():
            launch.resume(run, shell.data_folder(), here=True)
            st.rerun()


def _draw_quantize(run: Run) -> None:
    clicked = st.button(
        "Quantize",
        icon=":material/grain:",
        type="primary",
        key="next_step",
        help="Give its weights fewer values, and make the file smaller.",
    )
    if clicked:
        st.switch_page("pages/quantize.py", query_params={"run": run.id})


def _draw_budget(run: Run) -> None:
    clicked = st.button(
        "Fit a budget",
        icon=":material/savings:",
        key="fit_budget",
        help="Say how many bytes or points of accuracy it may cost, and let a search quantize it.",
    )
    if clicked:
        st.switch_page("pages/budget.py", query_params={"run": run.id})


def _draw_prune(run: Run) -> None:
    clicked = st.button(
        "Prune",
        icon=":material/park:",
        key="prune_it",
        help="Remove most of its weights, with or without training it further.",
    )
    if clicked:
        st.switch_page("pages/prune.py", query_params={"run": run.id})


def _draw_links(store: RunStore, run: Run) -> None:
    """Draw links to the pages that look into the resulting model, or quantize it once more."""
    ancestors = store.lineage(run.id)[:-1]  # without a parent that was deleted
    parent = ancestors[-1].id if ancestors else None
    compared = {"a": run.id}
    if parent:
        compared = {"a": parent, "b": run.id}
    comparison = ", compared with the model that it was made from" if parent else ""
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
        f"See the output of every activation function for a picture{comparison}.",
    )
    _draw_link(
        "kernels", "Kernels", ":material/grid_view:", compared, f"See its kernels{comparison}."
    )
    if parent:
        _draw_link(
            "answers",
            "Answers",
            ":material/rule:",
            {"runs": f"{parent},{run.id}"},
            "See which test images it answers differently from the model that it was made from.",
        )
    _draw_link(
        "export",
        "Export",
        ":material/ios_share:",
        {"run": run.id},
        "Make it in 8-bit integers, measure its speed, or save it for other programs.",
    )
    if is_quantized(run):
        _draw_link(
            "quantize",
            "Quantize again",
            ":material/grain:",
            {"run": run.id},
            "Round the centroids to bits, or give the weights fewer values still.",
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
        type="tertiary",
        help="Open the form with this run's settings.",
    )
    if clicked:
        st.switch_page(page, query_params={"from": run.id})


def _draw_rename(store: RunStore, run: Run) -> None:
    with st.form("rename", border=False):
        # The key contains the run, so that the field of another run starts with that run's name.
        name = st.text_input(
            "Name", run.name, max_chars=120, key=f"name-{run.id}", **permission(run)
        )
        if st.form_submit_button("Save", icon=":material/edit:", **permission(run)):
            with shell.showing_errors():
                store.rename(run.id, name)
                st.rerun()


def _draw_delete(store: RunStore, run: Run) -> None:
    clicked = st.button(
        "Delete", icon=":material/delete:", key="delete", type="tertiary", **permission(run)
    )
    if not clicked:
        return
    with shell.showing_errors():
        store.delete(run.id)
        st.session_state["deleted"] = (run.id, run.name)
        st.query_params.clear()
        st.rerun()


def _draw_downloads(run: Run) -> None:
    """Draw a download button for each file of the result that exists."""
    packed_name = _download_name(run, "-packed", PACKED)
    _draw_download(
        run.packed_file,
        packed_name,
        "Packed",
        "packed",
        "The smallest file, without losses: what is pruned or quantized is entropy-coded. It holds"
        " everything that is needed to use the network. Import a network reads this file.",
        is_next_step=is_quantized(run),
    )
    if run.packed_file.exists():
        draw_reader_button(packed_name)
    _draw_download(
        run.path / MODEL,
        _download_name(run, "", MODEL),
        "Weights",
        "download",
        "Weights in float, as a safetensors file: those of the last epoch, of the best epoch of a"
        " pruned network, or the quantized weights dequantized. Pruned weights are exactly 0.",
    )
    best_accuracy = run.status.best_accuracy
    if best_accuracy != run.status.test_accuracy:
        _draw_download(
            run.path / BEST,
            _download_name(run, "-best", BEST),
            "Best weights",
            "best",
            f"Weights in float, of the epoch that is best {best_words(run)}:"
            f" {accuracy_text(run, best_accuracy)}.",
        )
    _draw_int8_download(run)


def _draw_int8_download(run: Run) -> None:
    _draw_download(
        run.path / INT8,
        _download_name(run, "-int8", INT8),
        "ONNX in integers",
        "int8",
        "The network with 8-bit integer layers, for ONNX Runtime and other engines. The file names"
        " its classes and how its images are normalised.",
        is_next_step=True,
    )


def _download_name(run: Run, note: str, file: str) -> str:
    """The name of a file of the run's result when it is downloaded."""
    name = f"{run.model}-{run.dataset}-{run.density:g}-{run.id}{note}{Path(file).suffix}"
    return name.replace("/", "-")


def _draw_download(
    path: Path,
    file_name: str,
    label: str,
    key: str,
    help_text: str,
    *,
    is_next_step: bool = False,
) -> None:
    if not path.exists():
        return
    st.download_button(
        f"{label} ({size(path.stat().st_size)})",
        path.read_bytes,
        icon=":material/download:",
        file_name=file_name,
        mime="application/octet-stream",
        on_click="ignore",
        type="primary" if is_next_step else "secondary",
        key=key,
        help=help_text,
    )
