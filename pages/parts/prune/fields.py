"""The fields of a PruneRecipe as widgets, with the reason where other settings exclude one."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.compress.pruning.methods import cuts_channels, learns_from_images
from core.config import PruneRecipe
from pages.parts.shared.address import choice_parser, keep_in_address, parse_flag
from pages.parts.shared.fields import help_text, number_field

DEFAULT_PRUNE_RECIPE = PruneRecipe()

PRUNE_LABELS = {
    "method": "Method",
    "density": "Density",
    "layer_densities": "Weights of each layer",
    "spare_first": "Spare the first layer",
    "spare_last": "Spare the last layer",
    "images": "Images to choose weights by",
    "recalibrate": "Re-estimate BatchNorm's statistics",
    "epochs": "Epochs of fine-tuning",
    "gradual": "Epochs of gradual pruning",
    "every": "Steps between prunings",
    "teacher": "Learns from",
    "rewind": "Rewind the kept weights",
    "lr": "Learning rate",
    "momentum": "Momentum",
    "weight_decay": "Weight decay",
    "batch_size": "Batch size",
    "train_images": "Images an epoch",
    "seed": "Seed",
    "precision": "Precision",
    "device": "Device",
}
"""The words for each field, in the form and in errors."""

_OF_FINE_TUNING = (
    "gradual",
    "every",
    "teacher",
    "rewind",
    "lr",
    "momentum",
    "weight_decay",
    "batch_size",
    "train_images",
    "precision",
)


def prune_key(name: str) -> str:
    """Return the key of the widget of a field, which is also its name in the address."""
    return f"prune_{name}"


def excluded_fields(method: str, epochs: int, gradual: int) -> dict[str, str]:
    """Return the fields that other settings exclude, each with the reason as a sentence.

    They have no effect, or a run would be refused. Such a field has its default in the recipe.
    """
    reasons = {}
    if cuts_channels(method):
        reasons["layer_densities"] = "Methods that cut channels let those of all layers compete."
    if not learns_from_images(method):
        reasons["images"] = f"The method {method} looks at no images."
    if epochs:
        reasons["recalibrate"] = "Fine-tuning makes new statistics by itself."
    if not gradual:
        reasons["every"] = "This is for gradual pruning."
    if gradual:
        reasons["rewind"] = "Rewinding is done once, so it does not go with gradual pruning."
    if method == "compensated":
        reasons["gradual"] = "Compensated pruning is done at once, so it cannot be gradual."
        reasons["every"] = "This is for gradual pruning."
        reasons["rewind"] = "Rewinding would undo what compensated pruning makes up for."
    if not epochs:
        reasons |= dict.fromkeys(_OF_FINE_TUNING, "This is for fine-tuning, with 1 epoch or more.")
    return reasons


def excluded_in_form() -> dict[str, str]:
    """Return the fields that the values in the form exclude, with the reasons."""
    default = DEFAULT_PRUNE_RECIPE
    method, epochs, gradual = (
        st.session_state.get(prune_key(name), getattr(default, name))
        for name in ("method", "epochs", "gradual")
    )
    is_excluded = "gradual" in excluded_fields(method, epochs, gradual)
    return excluded_fields(method, epochs, 0 if is_excluded else gradual)


def draw_prune_number(place: DeltaGenerator, name: str, step: float = 1, **options: Any) -> None:
    """Draw a number input. options: further arguments of `st.number_input`."""
    number_field(
        place,
        PruneRecipe,
        name,
        step,
        key=prune_key(name),
        label=PRUNE_LABELS[name],
        **usual_options(name) | options,
    )


def draw_prune_segments(name: str, labels: Mapping[Any, str]) -> None:
    """Draw a segmented control. labels: what each possible value is called."""
    keep_in_address(prune_key(name), getattr(DEFAULT_PRUNE_RECIPE, name), choice_parser(labels))
    st.segmented_control(
        PRUNE_LABELS[name],
        list(labels),
        format_func=labels.__getitem__,
        key=prune_key(name),
        required=True,
        persist_state="session",
        **usual_options(name),
    )


def draw_prune_choice(
    place: DeltaGenerator,
    name: str,
    choices: Sequence[Any],
    labels: Mapping[Any, str] | None = None,
    *,
    takes_others: bool = False,
) -> None:
    """Draw a select box. takes_others: whether a person can type a value that is no choice."""
    state = st.session_state
    default = getattr(DEFAULT_PRUNE_RECIPE, name)
    keep_in_address(prune_key(name), default, str if takes_others else choice_parser(choices))
    if not takes_others and state[prune_key(name)] not in choices:  # of another model
        state[prune_key(name)] = default
    place.selectbox(
        PRUNE_LABELS[name],
        choices,
        format_func=str if labels is None else labels.__getitem__,
        key=prune_key(name),
        persist_state="session",
        accept_new_options=takes_others,
        **usual_options(name),
    )


def draw_prune_toggle(name: str) -> None:
    """Draw a toggle."""
    keep_in_address(prune_key(name), getattr(DEFAULT_PRUNE_RECIPE, name), parse_flag)
    st.toggle(
        PRUNE_LABELS[name], key=prune_key(name), persist_state="session", **usual_options(name)
    )


def usual_options(name: str) -> dict[str, Any]:
    """Return whether the widget is disabled, and its help text with the reason for that."""
    reason = excluded_in_form().get(name)
    description = help_text(PruneRecipe, name)
    if reason is None:
        return {"help": description, "disabled": False}
    return {"help": f"Not used now. {reason} {description}", "disabled": True}
