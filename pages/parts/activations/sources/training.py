"""The epochs of a training: the newest one as soon as it ends, or any that was kept."""

from pathlib import Path

import streamlit as st

from core.config import TrainRecipe
from core.runs.epochs import epoch_file, kept_epochs
from core.runs.run import MODEL, Run
from core.runs.store import RunStore
from pages.parts.activations.sources.network import (
    InspectedNetwork,
    NetworkSource,
    network_of_file,
)
from pages.parts.shared.address import address_selectbox
from pages.parts.shared.states import STATE_STYLES

_REFRESH_SECONDS = 1.5


def choose_training(store: RunStore) -> NetworkSource | None:
    """Draw the choice of a training. Returns None if none has kept its epochs yet."""
    runs = {run.id: run for run in store.list() if _can_be_chosen(run)}
    if not runs:
        st.info(
            "No training has kept its epochs yet. Start one, and watch it here.",
            icon=":material/eco:",
        )
        st.page_link("pages/train.py", label="Train", icon=":material/content_cut:")
        return None

    def label(run_id: str) -> str:
        run = runs[run_id]
        return f"{STATE_STYLES[run.state].sign} {run.name} · {run.id}"

    chosen = address_selectbox(
        "Training",
        "training",
        list(runs),
        what="training",
        help="The trainings that are running now or have kept epochs.",
        format_func=label,
    )
    run = runs[chosen]
    refresh_seconds = _REFRESH_SECONDS if run.active else None
    return NetworkSource(run.dataset, lambda: _choose_epoch(store, run), refresh_seconds)


def _can_be_chosen(run: Run) -> bool:
    if not isinstance(run.recipe, TrainRecipe):
        return False
    return run.active or bool(kept_epochs(run.path))


def _choose_epoch(store: RunStore, run_at_start: Run) -> list[InspectedNetwork]:
    """Draw the choice of an epoch, and return its network. Called at every refresh."""
    run = store.get(run_at_start.id)
    if run.active != run_at_start.active:
        st.rerun()  # the page then stops to refresh itself, or begins to
    files = _epoch_files(run)
    if not files:
        st.info(_why_no_epoch(run), icon=":material/hourglass_empty:")
        return []
    epoch = _draw_epoch_choice(run, list(files))
    return [network_of_file(f"{run.name}, epoch {epoch}", files[epoch])]


def _epoch_files(run: Run) -> dict[int, Path]:
    """Return the file of each kept epoch, in order. The result counts as the last epoch."""
    files = {epoch: epoch_file(run.path, epoch) for epoch in kept_epochs(run.path)}
    if files and run.has_model:
        files[run.status.epoch] = run.path / MODEL
    return files


def _draw_epoch_choice(run: Run, epochs: list[int]) -> int:
    state = st.session_state
    newest = epochs[-1]
    with st.container(horizontal=True, vertical_alignment="center", key="epochs"):
        is_following = run.active and st.toggle(
            "Follow", True, key="follow", help="Show each epoch as soon as it ends."
        )
        if is_following or state.get("epoch") not in epochs:
            state["epoch"] = newest
        if len(epochs) == 1:
            st.markdown(f"Epoch {newest} of {run.recipe.epochs}")
            return newest
        st.select_slider(
            f"Epoch of {run.recipe.epochs}",
            epochs,
            key="epoch",
            disabled=is_following,
            help="The weights at the end of each epoch that was kept.",
        )
    return state["epoch"]


def _why_no_epoch(run: Run) -> str:
    assert isinstance(run.recipe, TrainRecipe)  # no other run can be chosen
    if run.recipe.keep_every and not run.status.epoch:
        return "The first epoch is not over yet. It appears here as soon as it ends."
    return (
        "This training keeps no epochs: that is switched off, or a single one is larger than the"
        f" limit of {run.recipe.keep_mb:,} MB."
    )
