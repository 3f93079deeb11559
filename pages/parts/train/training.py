"""The settings of the training itself, in the form of a training."""

from typing import get_args

import streamlit as st

from core.compress.pruning.methods import PRUNING_METHODS
from core.config import Prune, Schedule, TrainRecipe
from pages.parts.shared.fields import DEVICES, help_text, number_field
from pages.parts.train.form import AUGMENT_CHOICES


def draw_training_settings() -> None:
    """Draw the four settings that people change, and the others in an expander."""
    left, middle, right = st.columns(3)
    number_field(left, TrainRecipe, "epochs")
    number_field(middle, TrainRecipe, "batch_size", 32, label="Batch size")
    number_field(right, TrainRecipe, "lr", 0.01, label="Learning rate")
    st.segmented_control(
        "Schedule",
        get_args(Schedule),
        default="step",
        key="schedule",
        bind="query-params",
        required=True,
        help=help_text(TrainRecipe, "schedule"),
    )
    with st.expander("More settings", icon=":material/tune:"):
        _draw_optimizer_settings()
        _draw_device_and_kept_epochs()
        _draw_augmentation()
        st.markdown("Scoring")
        _draw_scoring_settings()


def _draw_optimizer_settings() -> None:
    other_schedule = st.session_state["schedule"] != "step"
    left, right = st.columns(2)
    number_field(left, TrainRecipe, "step", label="Epochs between drops", disabled=other_schedule)
    number_field(
        right, TrainRecipe, "gamma", 0.1, label="Factor of a drop (gamma)", disabled=other_schedule
    )
    number_field(left, TrainRecipe, "momentum", 0.05)
    number_field(right, TrainRecipe, "weight_decay", 1e-4)
    number_field(left, TrainRecipe, "label_smoothing", 0.05)
    number_field(
        right, TrainRecipe, "train_images", 1000, label="Training images", placeholder="all"
    )


def _draw_device_and_kept_epochs() -> None:
    left, right = st.columns(2)
    number_field(left, TrainRecipe, "seed")
    right.selectbox(
        "Device",
        DEVICES,
        key="device",
        bind="query-params",
        accept_new_options=True,
        help=help_text(TrainRecipe, "device"),
    )
    number_field(left, TrainRecipe, "keep_every", label="Epochs between kept weights")
    number_field(right, TrainRecipe, "keep_mb", 50, label="Megabytes for kept weights")


def _draw_augmentation() -> None:
    st.segmented_control(
        "Augmentation",
        list(AUGMENT_CHOICES),
        default="auto",
        key="augment",
        bind="query-params",
        required=True,
        help=help_text(TrainRecipe, "augment"),
    )


def _draw_scoring_settings() -> None:
    left, middle, right = st.columns(3)
    number_field(
        left,
        Prune,
        "batch_size",
        32,
        key="scorebatch",
        label="Batch size",
        placeholder="as above",
    )
    number_field(middle, Prune, "batches", key="scorebatches", label="Batches")
    method = PRUNING_METHODS.get(st.session_state["method"])
    number_field(
        right,
        Prune,
        "rounds",
        10,
        label="Rounds",
        placeholder="usual",
        disabled=method is None or not method.iterative,
    )
