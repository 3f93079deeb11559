"""Says in the form why the chosen rounding is used, and how long it takes."""

import os
from collections.abc import Mapping
from pathlib import Path

from core import data
from core.config import QuantizeKind
from core.forecast.tuning import rounding_seconds
from core.runs.run import Run
from pages.parts.shared.cache import has_shared_weights
from pages.parts.shared.tuning_cost import TuningCost, tuning_cost
from pages.parts.shared.words import duration, plain


def describe_rounding(
    kind: QuantizeKind,
    is_compensated: bool,
    images: int,
    parent: Run,
    shapes: Mapping[str, tuple[int, ...]],
    root: Path,
) -> str:
    """Say which rounding is used and why.

    kind: "kmeans" or "affine". images: for compensated rounding, at most. shapes: The shapes of the
    parent's tensors by name. root: The folder of the data sets.
    """
    if kind == "affine" and has_shared_weights(parent):
        return (
            "The weights of this model are shared already. Their centroids get the nearest level,"
            " whatever is chosen here."
        )
    cost = tuning_cost(parent, root)
    if cost is None:
        return f"Compensated rounding needs the images of {plain(parent.dataset)}, which are gone."
    images = min(images, cost.train_images)
    before_tuning = " before tuning" if kind == "kmeans" else ""
    time = _time_in_words(kind, cost, images, shapes)
    if not is_compensated:
        return (
            "Each weight is rounded by itself, without images. Compensated rounding usually loses"
            f" less accuracy{before_tuning}, and takes {time} here."
        )
    return (
        "Weights make up for each other's rounding errors, which usually loses less accuracy"
        f"{before_tuning}. {_images_in_words(parent.dataset, images, root)} It takes {time} here."
    )


def _images_in_words(dataset: str, images: int, root: Path) -> str:
    name = plain(dataset)
    if dataset == "Digits" or data.is_ready(dataset, root):
        return f"It uses {images:,} training images of {name}, which are at hand, without labels."
    return f"It uses {images:,} training images of {name}, which the run gets, without labels."


def _time_in_words(
    kind: QuantizeKind, cost: TuningCost, images: int, shapes: Mapping[str, tuple[int, ...]]
) -> str:
    weights = [shape for shape in shapes.values() if len(shape) > 1]
    cores = os.cpu_count() or 1
    seconds = rounding_seconds(kind, images, cost.forward_seconds, weights, cores)
    return f"about {duration(max(1.0, seconds))}"
