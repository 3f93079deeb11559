"""Tests whether two models that answered the same images differ in accuracy, and how far.

The test is McNemar's (Psychometrika 12, 1947) in its exact form: if both are equally accurate, each
image that only one of them gets right is the toss of a fair coin. The interval of the difference is
Wald's, with half an image added to each of the four counts (Agresti and Min, Simple improved
confidence intervals for comparing matched proportions, Statistics in Medicine 24, 2005).
"""

import math
from dataclasses import dataclass

from core.accuracy import wilson_interval

_CLEAR = 0.05  # the greatest p-value of a difference that is called clear
_Z = 1.96  # standard errors of a normal distribution that hold 95% of it


@dataclass(frozen=True)
class PairedCounts:
    """The numbers of images by what two models answered for them.

    both_right, both_wrong: both models are right, or both are wrong, perhaps in different ways.
    broken: the first model is right and the second is wrong. fixed: the other way round.

    Raises ValueError for a negative count, and if there are no images at all.
    """

    both_right: int
    broken: int
    fixed: int
    both_wrong: int

    def __post_init__(self) -> None:
        counts = (self.both_right, self.broken, self.fixed, self.both_wrong)
        if min(counts) < 0 or not sum(counts):
            raise ValueError(f"counts must be 0 or more with a sum of 1 or more, got {counts}")

    @property
    def images(self) -> int:
        """The number of all images."""
        return self.both_right + self.broken + self.fixed + self.both_wrong

    @property
    def first_accuracy(self) -> float:
        """The accuracy of the first model, in [0, 1]."""
        return (self.both_right + self.broken) / self.images

    @property
    def second_accuracy(self) -> float:
        """The accuracy of the second model, in [0, 1]."""
        return (self.both_right + self.fixed) / self.images

    @property
    def first_interval(self) -> tuple[float, float]:
        """Wilson's 95% interval of the first model's accuracy, in [0, 1]."""
        return wilson_interval(self.first_accuracy, self.images)

    @property
    def second_interval(self) -> tuple[float, float]:
        """Wilson's 95% interval of the second model's accuracy, in [0, 1]."""
        return wilson_interval(self.second_accuracy, self.images)

    @property
    def difference(self) -> float:
        """The accuracy of the second model minus that of the first, in [-1, 1]."""
        return (self.fixed - self.broken) / self.images

    @property
    def difference_interval(self) -> tuple[float, float]:
        """Agresti and Min's 95% interval of the difference, in [-1, 1].

        Its middle lies a little nearer to 0 than the difference.
        """
        images = self.images + 2
        changed = self.broken + self.fixed + 1
        gain = self.fixed - self.broken
        error = math.sqrt(changed - gain**2 / images) / images
        low = gain / images - _Z * error
        high = gain / images + _Z * error
        return max(-1.0, low), min(1.0, high)

    @property
    def p_value(self) -> float:
        """The p-value of McNemar's exact test, two-sided, in (0, 1].

        How likely a split of the changed images is that is as uneven as this one or more, if both
        models are equally accurate. 1 if no image changed.
        """
        # Here, because this import takes a second.
        from scipy.stats import binomtest

        changed = self.broken + self.fixed
        return float(binomtest(self.broken, changed).pvalue) if changed else 1.0

    @property
    def is_clear(self) -> bool:
        """Whether the test calls the difference clear: its p-value is 0.05 or less.

        Near this limit the test and the interval can disagree.
        """
        return self.p_value <= _CLEAR


def points_lost(counts: PairedCounts) -> float:
    """Return the percentage points of accuracy that the second network loses; may be negative."""
    return 100 * (counts.broken - counts.fixed) / counts.images


def lost_interval(counts: PairedCounts) -> tuple[float, float]:
    """Return the 95% interval of the percentage points that the second network loses."""
    low, high = counts.difference_interval
    return -100 * high, -100 * low


def most_lost(counts: PairedCounts) -> float:
    """Return the upper end of that interval: a limit holds if it is not below it.

    A search looks at many networks, and takes the one that loses least on these images. So the
    measured loss alone would promise too much.
    """
    return lost_interval(counts)[1]


def least_shown(images: int) -> float:
    """Return the lowest limit that so many images can show to hold, in percentage points.

    It is what a network may lose whose answers are all those of the float network.
    """
    return most_lost(PairedCounts(images, 0, 0, 0))


def describe_loss(counts: PairedCounts) -> str:
    """Return the loss in words, with its 95% interval, such as "0.40 points (0.1 to 0.7)"."""
    low, high = lost_interval(counts)
    return f"{points_lost(counts):.2f} points (95% interval {low:.2f} to {high:.2f})"
