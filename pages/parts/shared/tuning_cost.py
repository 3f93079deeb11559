"""Estimates how long tuning or fine-tuning a model takes on this machine, per image."""

import os
from pathlib import Path
from typing import NamedTuple

from core import data
from core.forecast.tuning import tuning_seconds
from core.models import model_info
from core.runs.run import Run

MOST_SECONDS = 120
"""A form starts with as much tuning as takes this long."""


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
