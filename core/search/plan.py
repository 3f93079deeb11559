"""Decides how much work a search does, by the time that there is and the measured pace.

Only these decisions depend on the clock. They are numbers that a run writes down, so that it
continues with the same ones.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from core.search.options import Detail

MOST_IMAGES = 1024
"""Training images on which layers are rounded, at most."""

MOST_JUDGING_IMAGES = 512
"""Held-back images on which the options and trials are compared, at most."""

MOST_TRIALS = 400
MOST_TUNING_EPOCHS = 30

_FEWEST_IMAGES = 64
_IMAGE_COUNTS = (MOST_IMAGES, 512, 256, 128, _FEWEST_IMAGES)
_IMAGES_FOR_MANY = 256
"""Images from which on a layer gets more than a few options."""

_FEWEST_TUNING_IMAGES = 1000
_TABLE_SHARE = 0.4
_MOST_TABLE_SHARE = 0.7
"""What a table may take before it does without compensated rounding, which misjudges layers."""

_EXCHANGE_SHARE = 0.1
_COMPARISON_SHARE = 0.03
_JOINT_SHARE = 0.1
_STEP_PASSES = 5
"""Forward passes that a tuning step takes as long as, with the teacher's and its pauses."""

DETAILS: tuple[Detail, ...] = ("all", "usual", "few")
"""From the most to the fewest options of a layer."""


class Clock:
    """Counts the seconds that a search has spent, over all its processes.

    seconds: that there are in all. spent_before: in processes before this one.
    """

    def __init__(self, minutes: float, spent: float = 0.0):
        self.seconds = 60 * minutes
        self.spent_before = spent
        self._began = time.monotonic()

    @property
    def spent(self) -> float:
        return self.spent_before + time.monotonic() - self._began

    @property
    def left(self) -> float:
        return max(0.0, self.seconds - self.spent)


@dataclass(frozen=True)
class SearchPace:
    """How long the parts of the work take here, in seconds.

    image: a forward pass of one image. option: to round and to code one option of every layer.
    layers: number of layers.
    """

    image: float
    option: float
    layers: int


@dataclass(frozen=True)
class TablePlan:
    """How thoroughly each layer is measured.

    detail: how many options it gets. images: training images to round on, 0 for nearest rounding.
    judging: images to compare answers on.
    """

    detail: Detail
    images: int
    judging: int


def plan_table(
    pace: SearchPace, seconds: float, option_counts: Sequence[int], images: int | None = None
) -> TablePlan:
    """Return the most thorough plan for a share of these seconds, or the least if none fits.

    option_counts: how many options a layer has with "all", "usual" and "few". images: a number of
    images that is wanted, whatever the time. Few images cannot tell many options apart.
    """
    if images is not None:
        detail: Detail = "all" if images >= _IMAGES_FOR_MANY else "few"
        return TablePlan(detail, images, min(images, MOST_JUDGING_IMAGES))
    share = _TABLE_SHARE * seconds
    for detail, count in zip(DETAILS, option_counts, strict=True):
        for number in _IMAGE_COUNTS:
            plan = TablePlan(detail, number, min(number, MOST_JUDGING_IMAGES))
            enough = number >= _IMAGES_FOR_MANY or detail == "few"
            if enough and _table_seconds(pace, plan, count) <= share:
                return plan
    least = TablePlan("few", _FEWEST_IMAGES, _FEWEST_IMAGES)
    if _table_seconds(pace, least, option_counts[-1]) <= _MOST_TABLE_SHARE * seconds:
        return least
    return TablePlan("few", 0, _FEWEST_IMAGES)


def _table_seconds(pace: SearchPace, plan: TablePlan, options: int) -> float:
    """Estimate the time of a table: inputs of all layers, roundings, and passes from each layer.

    On average, half of a network lies behind a layer.
    """
    inputs = 8 * plan.images * pace.image
    passes = options * pace.layers * plan.judging * pace.image / 2
    return inputs + options * pace.option + passes


def joint_seconds(pace: SearchPace, images: int) -> float:
    """Estimate how long it takes to round all layers together on so many images."""
    return 12 * images * pace.image + pace.option


def count_joint_images(pace: SearchPace, seconds: float, table_images: int) -> int:
    """Return on how many training images all layers are rounded together.

    They are at least `table_images`, those of the table. Compensated rounding matters most here, so
    it is left out only where even the fewest images would take most of the time.
    """
    for number in _IMAGE_COUNTS:
        if joint_seconds(pace, number) <= _JOINT_SHARE * seconds:
            return max(number, table_images)
    fits = joint_seconds(pace, _FEWEST_IMAGES) <= seconds / 2
    return max(_FEWEST_IMAGES if fits else 0, table_images)


def count_held_back_images(pace: SearchPace, seconds: float) -> int:
    """Return how many held-back images may compare candidates, a small share of the time each."""
    return max(_FEWEST_IMAGES, int(_COMPARISON_SHARE * seconds / pace.image))


def count_trials(pace: SearchPace, seconds_left: float, judging: int) -> int:
    """Return how many exchanges a share of the time allows, each a forward pass of the images."""
    affordable = int(_EXCHANGE_SHARE * seconds_left / (judging * pace.image))
    return min(MOST_TRIALS, affordable)


def count_tuning_images(pace: SearchPace, seconds_left: float, training: int, extra: int) -> int:
    """Return on how many images tuning can take steps in the time, over all epochs; 0 if too few.

    training: number of training images, of which there are at most 30 epochs. extra: images of a
    forward pass that each epoch needs besides, to measure its result.
    """
    affordable = seconds_left / (_STEP_PASSES * pace.image)
    least = min(_FEWEST_TUNING_IMAGES, training) + extra / _STEP_PASSES
    if affordable < least:
        return 0
    share_of_steps = training / (training + extra / _STEP_PASSES)
    return min(MOST_TUNING_EPOCHS * training, int(affordable * share_of_steps))
