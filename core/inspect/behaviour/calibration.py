"""Measures whether a model's confidence says how often it is right.

The bins and the expected calibration error are those of On Calibration of Modern Neural Networks
(arXiv:1706.04599, section 2 and equation 3). Importing this module needs no torch.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.data.imageset import Labels
from core.inspect.behaviour.answers import Answers

RELIABILITY_BINS = 15
"""The number of bins that the paper uses."""

MARGIN_BINS = 40
"""The number of bins of a margin histogram, each 0.05 wide."""


@dataclass(frozen=True, eq=False)
class Reliability:
    """The images of a reliability diagram with M bins of equal width.

    edges: the edges of the bins, (M + 1,) from 0 to 1. A bin holds low < confidence <= high.
    counts: number of images in each bin, int64 (M,).
    confidence: mean confidence in each bin, (M,); NaN for an empty bin.
    accuracy: accuracy in each bin, (M,) in [0, 1]; NaN for an empty bin.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def expected_calibration_error(self) -> float:
        """The mean of |accuracy - confidence| over the bins, weighted by images, in [0, 1].

        It depends on the number of bins, and it is above 0 by chance for few images.
        """
        gaps = np.abs(self.accuracy - self.confidence)
        return float(np.nansum(self.counts * gaps) / self.counts.sum())


@dataclass(frozen=True, eq=False)
class MarginHistogram:
    """The numbers of images by margin.

    edges: the edges of the bins, (M + 1,) from -1 to 1. A bin holds low <= margin < high, and the
    last one 1, too.
    counts: number of images in each bin, int64 (M,).
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]


def measure_reliability(
    answers: Answers, labels: Labels, bins: int = RELIABILITY_BINS
) -> Reliability:
    """Put the images into `bins` bins of equal width by their confidence.

    labels: int64 (N,), in [0, C). Raises ValueError for others.
    """
    edges = np.linspace(0, 1, bins + 1)
    bin_of_image = np.searchsorted(edges[1:-1], answers.confidence, side="left")
    counts = np.bincount(bin_of_image, minlength=bins)
    right = np.bincount(bin_of_image, answers.right(labels), minlength=bins)
    confidence = np.bincount(bin_of_image, answers.confidence, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN of an empty bin
        return Reliability(edges, counts, confidence / counts, right / counts)


def count_margins(answers: Answers, labels: Labels, bins: int = MARGIN_BINS) -> MarginHistogram:
    """Count the images by margin, in `bins` bins of equal width.

    With an even number of bins, the lower half has the margins below 0, of wrong
    answers. labels: as in `measure_reliability`.
    """
    counts, edges = np.histogram(answers.margin(labels), bins, range=(-1, 1))
    return MarginHistogram(edges, counts)
