"""The settings of the training itself, in the form of a training."""

from typing import get_args

import streamlit as st

from core import machine
from core.compress.pruning.methods import PRUNING_METHODS
from core.config import PrecisionChoice, Prune, Schedule, ScoreMode, TrainRecipe
from core.data import DatasetInfo
from pages.parts.shared.address import keep_choice_in_address, keep_in_address, parse_flag
from pages.parts.shared.fields import DEVICES, help_text, number_field
from pages.parts.shared.presets import START, usual_validation
from pages.parts.train.form import AUGMENT_CHOICES

_MODE_NAMES = {"eval": "evaluation", "train": "training"}


def draw_training_settings(dataset: DatasetInfo) -> None:
    """Draw the four settings that people change, and the others in an expander."""
    left, middle, right = st.columns(3)
    number_field(left, TrainRecipe, "epochs")
    number_field(middle, TrainRecipe, "batch_size", 32, label="Batch size")
    number_field(right, TrainRecipe, "lr", 0.01, label="Learning rate", value=START.lr)
    keep_choice_in_address("schedule", get_args(Schedule), "step", what="schedule")
    st.segmented_control(
        "Schedule",
        get_args(Schedule),
        default="step",
        key="schedule",
        persist_state="session",
        required=True,
        help=help_text(TrainRecipe, "schedule"),
    )
    with st.expander("More settings", icon=":material/tune:"):
        _draw_optimizer_settings()
        _draw_numbers_of_images(dataset)
        _draw_device_and_kept_epochs()
        _draw_augmentation()
        _draw_precision()
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


def _draw_numbers_of_images(dataset: DatasetInfo) -> None:
    """Draw how many images are trained on, and how many are held back.

    Another data set gets the number of validation images that is usual for it.
    """
    state = st.session_state
    usual = usual_validation(dataset.train_images)
    if state.get("validation_of", dataset.name) != dataset.name:
        state["validation"] = usual
    state["validation_of"] = dataset.name
    left, right = st.columns(2)
    number_field(
        left, TrainRecipe, "train_images", 1000, label="Training images", placeholder="all"
    )
    number_field(
        right,
        TrainRecipe,
        "validation",
        100,
        label="Validation images",
        value=usual,
        help=(
            f"{help_text(TrainRecipe, 'validation')} The form starts with a tenth of the training"
            " images, at most 5,000."
        ),
    )


def _draw_device_and_kept_epochs() -> None:
    left, right = st.columns(2)
    number_field(left, TrainRecipe, "seed")
    keep_in_address("device", DEVICES[0], str)
    right.selectbox(
        "Device",
        DEVICES,
        key="device",
        persist_state="session",
        accept_new_options=True,
        help=help_text(TrainRecipe, "device"),
    )
    number_field(left, TrainRecipe, "keep_every", label="Epochs between kept weights")
    number_field(right, TrainRecipe, "keep_mb", 50, label="Megabytes for kept weights")
    if _several_gpus() or st.session_state.get("devices", 1) > 1 or "devices" in st.query_params:
        number_field(left, TrainRecipe, "devices", label="Devices that train together")


@st.cache_resource(show_spinner=False)
def _several_gpus() -> bool:
    return len(machine.find_gpus()) > 1


def _draw_augmentation() -> None:
    keep_choice_in_address("augment", AUGMENT_CHOICES, "auto", what="augmentation")
    st.segmented_control(
        "Augmentation",
        list(AUGMENT_CHOICES),
        default="auto",
        key="augment",
        persist_state="session",
        required=True,
        help=help_text(TrainRecipe, "augment"),
    )


def _draw_precision() -> None:
    keep_choice_in_address("precision", get_args(PrecisionChoice), "auto", what="precision")
    st.segmented_control(
        "Precision",
        get_args(PrecisionChoice),
        default="auto",
        key="precision",
        persist_state="session",
        required=True,
        help=help_text(TrainRecipe, "precision"),
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
    number_field(
        middle, Prune, "batches", key="scorebatches", label="Batches", placeholder="enough"
    )
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
    without_images = method is None or not method.needs_data
    keep_choice_in_address("scoremode", get_args(ScoreMode), Prune().score_mode, what="mode")
    st.segmented_control(
        "Mode of BatchNorm and dropout",
        list(_MODE_NAMES),
        default=Prune().score_mode,
        key="scoremode",
        persist_state="session",
        required=True,
        disabled=without_images,
        format_func=_MODE_NAMES.__getitem__,
        help=help_text(Prune, "score_mode"),
    )
    keep_in_address("scoreaugment", Prune().augment, parse_flag)
    st.toggle(
        "Score augmented images, if the training augments",
        value=Prune().augment,
        key="scoreaugment",
        persist_state="session",
        disabled=without_images,
        help=help_text(Prune, "augment"),
    )
