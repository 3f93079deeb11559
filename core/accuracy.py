"""Tells how far an accuracy can be trusted, and which epoch of a training is the best.

The interval is Wilson's (1927), which holds for few images and near 0 and 1, too.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

_Z = 1.96  # standard errors of a normal distribution that hold 95% of it

_EVALUATION_NOISE = 0.005
"""The most that an accuracy differs when the same network is tested again."""

ChosenBy = Literal["validation", "divergence", "test"]
"""How the best epoch of a run is chosen.

validation: by the accuracy on validation images. divergence: by the divergence from the answers of
the float network on held-back training images. test: by the accuracy on the test images, which is
optimistic.
"""

EpochRow = Mapping[str, Any]
"""An EpochEnd event as plain data."""


def wilson_interval(accuracy: float, images: int) -> tuple[float, float]:
    """Return the 95% interval, in [0, 1], of an accuracy that was measured on `images` images."""
    spread = _Z**2 / images
    middle = accuracy + spread / 2
    reach = math.sqrt(accuracy * (1 - accuracy) * spread + spread**2 / 4)
    low = (middle - reach) / (1 + spread)
    high = (middle + reach) / (1 + spread)
    return max(0.0, low), min(1.0, high)


def is_guessing(accuracy: float, images: int, classes: int) -> bool:
    """Return whether an accuracy on `images` images is no better than guessing one of `classes`.

    It is no better if its 95% interval does not lie above 1 / classes.
    """
    low, _ = wilson_interval(accuracy, images)
    return low <= 1 / classes


def interval_text(accuracy: float, images: int) -> str:
    """Return the 95% interval in percent, such as "64.7 to 66.5"."""
    low, high = wilson_interval(accuracy, images)
    return f"{100 * low:.1f} to {100 * high:.1f}"


def guessing_text(classes: int) -> str:
    """Return the verdict in words, such as "no better than guessing (10% for 10 classes)"."""
    return f"no better than guessing ({100 / classes:.3g}% for {classes} classes)"


def explain_other_record(measured: float, recorded: float | None) -> str:
    """Say that a network's accuracy is not the recorded one, "" if it is.

    The same network gets the same test images right, but for a few that another device or another
    order of sums decides.
    """
    if recorded is None or abs(measured - recorded) <= _EVALUATION_NOISE:
        return ""
    return (
        f"The parent's network gets {measured:.2%} of the test images right, but its run"
        f" recorded {recorded:.2%}: its file or its data set has changed since."
        " `python -m core verify` checks the files."
    )


def chosen_by(row: EpochRow) -> ChosenBy:
    """Return what an epoch is compared by, which is the same for all epochs of a run."""
    if row.get("divergence") is not None:
        return "divergence"
    if row.get("validation_accuracy") is not None:
        return "validation"
    return "test"


def best_epoch(rows: Sequence[EpochRow]) -> EpochRow:
    """Return the best of at least one epoch, the first one if several are equal.

    It is the epoch with the least divergence, or else with the highest accuracy on validation
    images, of equals that with the least loss on them, or else with the highest test accuracy.
    Where the density falls from epoch to epoch, only those with the least density count.
    """
    least = min(row.get("density") or 0.0 for row in rows)
    return max((row for row in rows if (row.get("density") or 0.0) == least), key=_merit)


def _merit(row: EpochRow) -> tuple[float, ...]:
    """Return numbers that are greater for a better epoch."""
    match chosen_by(row):
        case "divergence":
            return (-row["divergence"],)
        case "validation":
            return (row["validation_accuracy"], -row["validation_loss"])
        case "test":
            return (row["test_accuracy"],)
