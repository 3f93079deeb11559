"""Re-estimates BatchNorm's statistics of a compressed network as far as a recipe wants it."""

from collections.abc import Generator, Mapping
from typing import Literal

from torch import nn

from core.compress import recalibrate
from core.events import Progress
from core.jobs.compression_images import CompressionImages
from core.models.parameters import batchnorm_weights
from core.training.evaluate import mean_divergence

_STAGE = "Re-estimating BatchNorm"
_SHARES = (0.25, 0.5, 0.75, 1.0)  # of the new statistics in a blend


def recalibrate_(
    network: nn.Module,
    reference: nn.Module,
    images: CompressionImages,
    choice: Literal["auto"] | bool,
) -> Generator[Progress, None, str]:
    """Re-estimate BatchNorm's statistics of `network`; return a sentence on what "auto" chose.

    The sentence is "" if nothing was chosen. reference: the network before compression, on the same
    device. choice: "auto" blends old and new statistics so that the answers are closest to those of
    the reference, on the images to choose by.
    """
    if not choice or not batchnorm_weights(network):
        return ""
    yield Progress(_STAGE, 0, 0)
    old = recalibrate.statistics(network)
    recalibrate.batchnorm_(network, images.calibration_batches())
    if choice != "auto":
        return ""
    new = recalibrate.statistics(network)
    choosing = images.choosing()
    divergences: dict[float, float] = {}
    for share in (0.0, *_SHARES):
        yield Progress(_STAGE, len(divergences), len(_SHARES) + 1, "blends")
        recalibrate.set_blended_(network, old, new, share)
        divergences[share] = mean_divergence(network, reference, choosing)
    best = min(divergences, key=lambda share: divergences[share])
    recalibrate.set_blended_(network, old, new, best)
    return _describe_blend(best, divergences, len(choosing))


def _describe_blend(best: float, divergences: Mapping[float, float], images: int) -> str:
    """Say what was chosen. divergences: of each share of new statistics, in nats."""
    of_images = f"on {images:,} training images"
    if not best:
        return (
            "BatchNorm keeps its statistics: new ones bring the answers no closer to those of the"
            f" original network (KL divergence {divergences[0.0]:.4f} nats, {of_images})."
        )
    chosen = "new statistics" if best == 1 else f"a blend with {best:.0%} of new statistics"
    return (
        f"BatchNorm takes {chosen}: KL divergence from the original network"
        f" {divergences[0.0]:.4f} -> {divergences[best]:.4f} nats, {of_images}."
    )
