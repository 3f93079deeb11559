"""The fields of a BudgetRecipe as widgets, whose values the address carries."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.config import BudgetRecipe
from pages.parts.shared.address import choice_parser, keep_in_address
from pages.parts.shared.fields import help_text, number_field
from pages.parts.shared.words import duration

BUDGET_LABELS = {
    "limit": "Limit",
    "smaller": "Times smaller",
    "bytes": "Bytes",
    "lose": "Points of accuracy",
    "faster": "Times faster",
    "minutes": "Minutes",
    "kinds": "A layer may get",
    "layers": "Choice for each layer",
    "images": "Images to round and measure on",
    "trials": "Exchanges between layers",
    "tuning_epochs": "Epochs of tuning",
    "lr": "Learning rate of tuning",
    "batch_size": "Batch size of tuning",
    "rest": "Other numbers in the packed file",
    "seed": "Seed",
    "device": "Device",
}
"""The words for each field, in the form and in errors."""

AS_TIME_ALLOWS = "as the time allows"


def budget_key(name: str) -> str:
    """Return the key of the widget of a field, which is also its name in the address."""
    return f"budget_{name}"


def default_of(name: str) -> Any:
    """Return the default of a field in the recipe."""
    return BudgetRecipe.model_fields[name].default


def minutes_text(minutes: float) -> str:
    """Return a time without what is zero, such as "2 min", "2 h" or "1 min 30 s"."""
    return duration(60 * minutes).removesuffix(" 0 s").removesuffix(" 0 min")


def draw_budget_number(place: DeltaGenerator, name: str, step: float = 1, **options: Any) -> None:
    """Draw a number input. options: further arguments of `st.number_input`."""
    number_field(
        place, BudgetRecipe, name, step, key=budget_key(name), label=BUDGET_LABELS[name], **options
    )


def draw_budget_choice(
    place: DeltaGenerator, name: str, choices: Sequence[str], *, takes_others: bool = False
) -> None:
    """Draw a select box. takes_others: whether a person can type a value that is no choice."""
    parse = str if takes_others else choice_parser(choices)
    keep_in_address(budget_key(name), default_of(name), parse)
    place.selectbox(
        BUDGET_LABELS[name],
        choices,
        key=budget_key(name),
        persist_state="session",
        accept_new_options=takes_others,
        help=help_text(BudgetRecipe, name),
    )


def draw_budget_segments(
    name: str, labels: Mapping[str, str], default: str, help_words: str = ""
) -> str:
    """Draw a segmented control, and return its value. labels: what each value is called."""
    keep_in_address(budget_key(name), default, choice_parser(labels))
    st.segmented_control(
        BUDGET_LABELS[name],
        list(labels),
        format_func=labels.__getitem__,
        key=budget_key(name),
        required=True,
        persist_state="session",
        help=help_words or None,
    )
    value: str = st.session_state[budget_key(name)]
    return value
