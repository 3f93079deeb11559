"""The time that compensated rounding and tuning take, and how much tuning fits into a time.

Nothing here needs torch, so that a form can start with what fits the machine.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from core.config import QuantizeKind

USUAL_EPOCHS = 3
"""Few clusters ruin most networks without tuning, and three epochs win most of it back."""

_MACS_PER_CORE_SECOND = 15e9
_LAYER_SECONDS = 0.1  # of compensated rounding
# Passes over the matrix of a row of weights. With centroids, they are fitted several times.
_ROUNDING_PASSES = {"kmeans": 45, "affine": 18}
_FEWEST_IMAGES = 500
_ROUND_IMAGES = 500  # the number of images is a multiple of this


class TuningAmount(NamedTuple):
    """How much a network is tuned. train_images: images of an epoch, None for all."""

    epochs: int
    train_images: int | None


def tuning_seconds(images: int, macs: float, training_speed: float | None, cores: int) -> float:
    """Estimate how long tuning on `images` images takes, in seconds.

    images: images of all epochs together.
    macs: multiply-adds of one image.
    training_speed: images per second of the network's training; if it is None, the estimate assumes
    15 billion multiply-adds per second on each of `cores` CPU cores.

    A step of tuning is a step of training, which takes as long as three forward passes, and the
    teacher's forward pass.
    """
    if training_speed:
        forward_seconds = 1 / (3 * training_speed)
    else:
        forward_seconds = macs / (_MACS_PER_CORE_SECOND * cores)
    return images * 4 * forward_seconds


def rounding_seconds(
    kind: QuantizeKind,
    images: int,
    forward_seconds: float,
    shapes: Sequence[tuple[int, ...]],
    cores: int,
) -> float:
    """Estimate how long compensated rounding takes, in seconds. This is a rule of thumb.

    kind: that of the recipe. images: number of training images. forward_seconds: time of one
    image's forward pass. shapes: of the weights to round. cores: CPU cores.

    For each layer two networks run up to it, which is as long as one whole forward pass on average.
    Then each row of n weights takes some passes over a matrix of n x n.
    """
    row_work = sum(math.prod(shape) * math.prod(shape[1:]) for shape in shapes)
    passes_seconds = _ROUNDING_PASSES[kind] * row_work / (_MACS_PER_CORE_SECOND * cores)
    forward_total = len(shapes) * images * forward_seconds
    return forward_total + passes_seconds + len(shapes) * _LAYER_SECONDS


def affordable_tuning(
    train_images: int, seconds_per_image: float, most_seconds: float
) -> TuningAmount:
    """Return the usual tuning, or as much of it as takes `most_seconds` at most.

    train_images: images of the data set. First there are fewer epochs, then fewer images, but at
    least 500.
    """
    affordable_images = int(most_seconds / seconds_per_image)
    epochs = min(USUAL_EPOCHS, affordable_images // train_images)
    if epochs:
        return TuningAmount(epochs, None)
    images = max(_FEWEST_IMAGES, affordable_images // _ROUND_IMAGES * _ROUND_IMAGES)
    return TuningAmount(1, min(images, train_images))
