"""The settings of the fine-tuning in the form, with an amount that fits this machine."""

from pathlib import Path
from typing import get_args

import streamlit as st

from core.config import PrecisionChoice
from core.forecast.tuning import affordable_tuning
from core.runs.run import Run
from pages.parts.prune.fields import (
    draw_prune_choice,
    draw_prune_number,
    draw_prune_segments,
    excluded_in_form,
    prune_key,
)
from pages.parts.shared.fields import DEVICES
from pages.parts.shared.suggestion import follow_suggestion
from pages.parts.shared.tuning_cost import MOST_SECONDS, TuningCost, tuning_cost
from pages.parts.shared.words import duration

_TEACHERS = {"parent": "The network before pruning", "labels": "The labels"}
_RECALIBRATIONS = {"auto": "As far as it helps", True: "Yes", False: "No"}
_LABELS_SHARE = 0.75  # of the time: without a teacher, one of four forward passes is saved


def draw_fine_tuning(parent: Run, root: Path) -> None:
    """Draw how long it is fine-tuned, on how many images, and how the density falls meanwhile.

    parent: The model's run. root: The folder of the data sets.
    """
    cost = tuning_cost(parent, root)
    left, right = st.columns(2)
    draw_prune_number(left, "epochs")
    epochs = st.session_state[prune_key("epochs")]
    suggested = suggested_images(cost, epochs)
    follow_suggestion(prune_key("train_images"), suggested)
    draw_prune_number(right, "train_images", 1000, value=suggested, placeholder="all")
    if epochs and cost is not None:
        _draw_amount(cost, epochs, suggested)
    draw_prune_segments("teacher", _TEACHERS)
    left, right = st.columns(2)
    draw_prune_number(left, "gradual")
    draw_prune_number(right, "every", 10)
    reason = excluded_in_form().get("gradual")
    if epochs and reason:
        st.caption(reason)


def draw_more_settings() -> None:
    """Draw the settings that few people change."""
    left, right = st.columns(2)
    draw_prune_number(left, "lr", 0.001)
    draw_prune_number(right, "batch_size", 32)
    draw_prune_number(left, "momentum", 0.05)
    draw_prune_number(right, "weight_decay", 1e-4)
    draw_prune_number(left, "images", 256)
    draw_prune_number(right, "seed")
    draw_prune_segments("recalibrate", _RECALIBRATIONS)
    draw_prune_segments("precision", {choice: choice for choice in get_args(PrecisionChoice)})
    draw_prune_choice(st.container(), "device", DEVICES, takes_others=True)


def suggested_images(cost: TuningCost | None, epochs: int) -> int | None:
    """Return how many images an epoch can have to fit into two minutes here, None for all."""
    if cost is None or not epochs:
        return None
    seconds_per_image = epochs * cost.seconds_per_image
    return affordable_tuning(cost.train_images, seconds_per_image, MOST_SECONDS).train_images


def fine_tuning_seconds(cost: TuningCost, epochs: int, images: int | None, teacher: str) -> float:
    """Estimate the time of fine-tuning. images: of an epoch, None for all."""
    share = 1.0 if teacher == "parent" else _LABELS_SHARE
    return share * cost.seconds(epochs, images)


def _draw_amount(cost: TuningCost, epochs: int, suggested: int | None) -> None:
    """Say how long it takes, and what all images would take."""
    state = st.session_state
    images = state[prune_key("train_images")]
    teacher = state.get(prune_key("teacher"), "parent")
    seconds = fine_tuning_seconds(cost, epochs, images, teacher)
    text = f"About {duration(seconds)} here."
    if suggested is not None and images == suggested:
        whole = fine_tuning_seconds(cost, epochs, None, teacher)
        text = (
            f"{suggested:,} images fit into two minutes here. All {cost.train_images:,} take about"
            f" {duration(whole)}, and may win back more accuracy."
        )
    st.caption(text)
