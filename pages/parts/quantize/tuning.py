"""Chooses how much a quantized network is tuned at first: as much as fits into two minutes here."""

import streamlit as st

from core.config import QuantizeKind
from core.forecast.tuning import USUAL_EPOCHS, TuningAmount, affordable_tuning
from pages.parts.shared.tuning_cost import MOST_SECONDS, TuningCost
from pages.parts.shared.words import duration


def default_tuning(kind: QuantizeKind, cost: TuningCost | None) -> TuningAmount:
    """Return how much a model is tuned if nobody says otherwise.

    Bits are not tuned: 8 of them, where the form starts, lose next to nothing.
    """
    if kind == "affine":
        return TuningAmount(0, None)
    if cost is None:
        return TuningAmount(USUAL_EPOCHS, None)
    return affordable_tuning(cost.train_images, cost.seconds_per_image, MOST_SECONDS)


def start_with_default_tuning(kind: QuantizeKind, default: TuningAmount) -> None:
    """Put the default into the form, unless a person has put something else there."""
    state = st.session_state
    keys = (f"{kind}_epochs", f"{kind}_train_images")
    in_form = tuple(state.get(key) for key in keys)
    if in_form in (state.get(f"{kind}_default_tuning"), (None, None)):
        state.update(zip(keys, default, strict=True))
    state[f"{kind}_default_tuning"] = default


def draw_more_tuning(cost: TuningCost | None, default: TuningAmount) -> None:
    """Say what more than the default would take, if the default is less than the usual tuning."""
    if cost is None or not default.epochs or default == TuningAmount(USUAL_EPOCHS, None):
        return
    usual = duration(cost.seconds(USUAL_EPOCHS, None))
    st.caption(
        f"This starts with what fits into two minutes here. {USUAL_EPOCHS} epochs of all"
        f" {cost.train_images:,} images take about {usual}, and may win back more accuracy."
    )
