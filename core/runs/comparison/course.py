"""Counts how far a training was at the end of each epoch: in epochs, optimizer steps or time."""

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Literal

from core.config import Recipe

Course = Literal["epoch", "step", "time"]
"""By what the curves of trainings are drawn over each other."""


def course_of(recipe: Recipe, rows: Sequence[Mapping[str, Any]], course: Course) -> list[float]:
    """Return the end of each epoch: its number, the steps so far, or the minutes of work so far.

    recipe, rows: of a run: its recipe and its EpochEnd events, in order. NaN stands for steps that
    are not known.
    """
    match course:
        case "epoch":
            return [float(row["epoch"]) for row in rows]
        case "step":
            batch_size = getattr(recipe, "batch_size", None)
            return list(accumulate(_steps(row, batch_size) for row in rows))
        case "time":
            return list(accumulate(row["seconds"] / 60 for row in rows))


def _steps(row: Mapping[str, Any], batch_size: int | None) -> float:
    """Return the optimizer steps of an epoch, NaN if they are not known.

    An EpochEnd does not name its images, but their speed and their time, whose product they are.
    The recipe and the data set would not do: a tuning holds back what the parent's training did.
    """
    images = row["images_per_second"] * row["train_seconds"]
    if batch_size is None or not math.isfinite(images) or images < 0.5:
        return math.nan
    return float(math.ceil(round(images) / batch_size))
