"""How much a quantized network is tuned at first: as much as fits into two minutes here."""

import os
from pathlib import Path
from typing import NamedTuple

import streamlit as st

from core import data
from core.config import QuantizeKind
from core.forecast.tuning import USUAL_EPOCHS, TuningAmount, affordable_tuning, tuning_seconds
from core.models import model_info
from core.runs.run import Run
from pages.parts.shared.words import duration

_MOST_SECONDS = 120


class TuningCost(NamedTuple):
    """The cost of tuning a model on this machine.

    train_images: Images of the data set. seconds_per_image: An estimate. is_measured: Whether the
    estimate comes from the speed of the model's training.
    """

    train_images: int
    seconds_per_image: float
    is_measured: bool

    def seconds(self, epochs: int, train_images: int | None) -> float:
        """Return the time of tuning on so many images, None for all."""
        images = min(train_images or self.train_images, self.train_images)
        return images * epochs * self.seconds_per_image

    @property
    def forward_seconds(self) -> float:
        """The time of one image's forward pass: tuning takes four of them."""
        return self.seconds_per_image / 4


def tuning_cost(run: Run, root: Path) -> TuningCost | None:
    """Return the cost of tuning a run's model, None if its data set is gone."""
    datasets = {choice.name: choice.info for choice in data.available(root)}
    dataset = datasets.get(run.dataset)
    if dataset is None:
        return None
    network = model_info(run.model)
    macs = network.macs * (dataset.side / network.side) ** 2
    summary = run.status.summary
    speed = None if summary is None else summary.images_per_second
    seconds = tuning_seconds(1, macs, speed, os.cpu_count() or 1)
    return TuningCost(dataset.train_images, seconds, bool(speed))


def default_tuning(kind: QuantizeKind, cost: TuningCost | None) -> TuningAmount:
    """Return how much a model is tuned if nobody says otherwise.

    Bits are not tuned: 8 of them, where the form starts, lose next to nothing.
    """
    if kind == "affine":
        return TuningAmount(0, None)
    if cost is None:
        return TuningAmount(USUAL_EPOCHS, None)
    return affordable_tuning(cost.train_images, cost.seconds_per_image, _MOST_SECONDS)


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
