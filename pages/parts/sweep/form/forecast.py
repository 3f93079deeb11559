"""Draws how many runs a sweep takes, how long, and how much disk."""

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from core.config import Recipe, TrainRecipe
from core.forecast.sweep import EpochSeconds, SweepForecast, forecast, is_measured
from pages.parts.shared.metrics import draw_metric
from pages.parts.shared.progress import drain, is_quick
from pages.parts.shared.words import counted, duration, size


def draw_forecast(recipes: Sequence[Recipe], combinations: int, root: Path) -> None:
    """Draw how many runs are missing, how long they take, and how much disk they need.

    recipes: those of the missing runs. combinations: their number in the whole sweep.
    """
    if not recipes:
        st.success("All these runs are finished already.", icon=":material/check_circle:")
        return
    place = st.empty()
    if not _is_quick(recipes) and not is_measured(recipes, _epoch_seconds()):
        clicked = place.button(
            "Estimate the time",
            icon=":material/timer:",
            key="estimate",
            help="Times a few training steps of each network, which takes some seconds.",
        )
        if not clicked:
            runs = counted(len(recipes), "run")
            st.caption(f"{counted(combinations, 'combination')}, {runs}.")
            return
    _draw_figures(drain(forecast(recipes, root, _epoch_seconds()), place), combinations)


def _draw_figures(result: SweepForecast, combinations: int) -> None:
    with st.container(horizontal=True, key="sweep_figures"):
        draw_metric(
            "Runs",
            f"{result.runs:,}",
            f"for {counted(combinations, 'combination')}",
            f"{result.trainings:,} networks are trained, {result.quantizations:,} quantized and"
            f" {result.budgets:,} fitted into a budget."
            " What a sweep ran before is not run again.",
        )
        seconds = result.training_seconds
        draw_metric(
            "Training, about",
            "unknown" if seconds is None else duration(seconds),
            "on this machine",
            "From a few training steps that were timed here. Quantization comes on top. Unknown"
            " before the data set is prepared.",
        )
        if result.budgets:
            draw_metric(
                "Budgets, about",
                duration(result.budget_seconds) if result.budget_seconds else "unknown",
                "and tests of the results",
                "The minutes of all searches together. A network that could not fit ends at once."
                " Unknown if the settings say how much each search does.",
            )
        draw_metric(
            "Disk, about",
            size(result.disk_bytes) if result.disk_bytes else "—",
            None,
            "The last and the best weights of each training, and the packed files.",
        )


def _is_quick(recipes: Sequence[Recipe]) -> bool:
    return all(
        is_quick(recipe.model, recipe.batch_size)
        for recipe in recipes
        if isinstance(recipe, TrainRecipe)
    )


@st.cache_resource(show_spinner=False)
def _epoch_seconds() -> EpochSeconds:
    """What was measured for all sessions of this server."""
    return {}
