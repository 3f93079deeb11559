"""The first step of the tour: two trainings side by side, and what each layer kept."""

from pathlib import Path

import streamlit as st

from core.runs.comparison.layers import layer_figures
from core.runs.run import Run
from core.runs.store import RunStore
from pages.parts.shared.accuracies import counts_of_series
from pages.parts.tour.progress import draw_live, draw_run_progress
from pages.parts.tour.runs import TourRuns, find_tour
from pages.parts.tour.start import draw_tour_button


def draw_trainings(store: RunStore, root: Path) -> None:
    """Draw both trainings, or the button that starts them if one is missing."""
    runs = find_tour(store)
    if runs.dense is None or runs.pruned is None:
        draw_tour_button(st.container(), "Start the trainings", store, root)

    def draw(runs: TourRuns) -> None:
        trainings = [run for run in (runs.dense, runs.pruned) if run is not None]
        for column, run in zip(st.columns(2, gap="large"), trainings, strict=False):
            with column:
                draw_run_progress(run, root)
                _draw_accuracies(store, run)
        if runs.pruned is not None:
            _draw_layers(store, runs.pruned)

    draw_live(store, draw)


def _draw_accuracies(store: RunStore, run: Run) -> None:
    """Draw the accuracies by epoch, or keep their place until the first epoch has ended."""
    from core.charts.training import CURVE_HEIGHT, accuracy_chart  # imports altair

    epochs = store.epochs(run.id)
    if epochs:
        st.altair_chart(
            accuracy_chart(epochs, run.recipe.epochs, counts_of_series(run), from_zero=True),
            key=f"tour_accuracy_{run.id}",
            alt=f"Accuracy by epoch of {run.name}",
        )
    elif run.active:
        st.skeleton(CURVE_HEIGHT)


def _draw_layers(store: RunStore, run: Run) -> None:
    """Draw the share of the weights that each layer keeps, once the network is pruned."""
    from core.charts.density import density_chart

    figures = layer_figures(store.events(run.id))
    if not figures:
        return
    st.markdown("**What each layer of the pruned network keeps**")
    st.altair_chart(
        density_chart({name: (layer.kept, layer.weights) for name, layer in figures.items()}),
        key="tour_density",
        alt="The share of the weights that each layer keeps",
    )
    st.caption("The dense network keeps all of them.")
