"""Finds the normalisation of the pixels that an imported network was trained with.

A file of weights does not say how its pixels were normalised. A wrong guess costs from a tenth of a
point of accuracy to everything, so the well-known ones are tried on training images. The test
images, which report the accuracy, are not looked at.
"""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core import data
from core.data.batches import DeviceImages, epoch_plan
from core.data.normalisation import USUAL_NORMALISATIONS, Normalisation, normalisation_of
from core.events import Progress

TRIAL_IMAGES = 500
"""The number of training images on which each normalisation is tried."""


_EQUAL = 0.01
"""Accuracies on so few images that differ by less do not tell two normalisations apart."""


@dataclass(frozen=True)
class TriedNormalisation:
    """What a network does on training images that are normalised so.

    name: what people call the normalisation. accuracy: in [0, 1]. loss: mean cross entropy in nats.
    mismatch: how far the input of the first BatchNorm is from the statistics that it has kept since
    the training, as a mean Kullback-Leibler divergence over channels in nats; None without a
    BatchNorm.
    """

    name: str
    normalisation: Normalisation
    accuracy: float
    loss: float
    mismatch: float | None


def candidates(dataset: str, root: str | Path) -> dict[str, Normalisation]:
    """Return the normalisations worth a try by name: the data set's own, and well-known ones."""
    return {own_name(dataset): normalisation_of(dataset, root), **USUAL_NORMALISATIONS}


def own_name(dataset: str) -> str:
    """Return what a data set's own normalisation is called."""
    return f"{dataset}, its own"


def rank_normalisations(
    network: nn.Module, dataset: str, root: str | Path
) -> Generator[Progress, None, list[TriedNormalisation]]:
    """Try every candidate on the same training images. The likeliest one comes first.

    They are sorted by accuracy. Those that are as good as the best, which a trained network has
    several of, are sorted by their mismatch: BatchNorm remembers what it was trained on. The images
    are augmented as in training, because the borders of random crops change its statistics.
    network: on the CPU, in evaluation mode. The data set must be ready.
    """
    loaded = data.load(dataset, root)
    images = data.subset(loaded.train, TRIAL_IMAGES, seed=0)
    tried: list[TriedNormalisation] = []
    by_name = candidates(dataset, root)
    for name, normalisation in by_name.items():
        yield Progress("Trying normalisations", len(tried), len(by_name), "normalisations")
        trial = DeviceImages(images, normalisation.mean, normalisation.std, "cpu")
        order, augmentation = epoch_plan(len(images), 0, 0, loaded.augment)
        batch, labels = trial.batch(order, augmentation)
        tried.append(_try(network, name, normalisation, batch, labels))
    return _sorted_by_merit(tried)


@torch.inference_mode()
def _try(
    network: nn.Module, name: str, normalisation: Normalisation, batch: Tensor, labels: Tensor
) -> TriedNormalisation:
    first = next((part for part in network.modules() if isinstance(part, nn.BatchNorm2d)), None)
    mismatches: list[float] = []

    def measure(norm: nn.BatchNorm2d, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
        mismatches.append(_mismatch(norm, inputs[0]))

    hook = first.register_forward_hook(measure) if first is not None else None
    try:
        logits = network(batch)
    finally:
        if hook is not None:
            hook.remove()
    return TriedNormalisation(
        name,
        normalisation,
        accuracy=float((logits.argmax(1) == labels).float().mean()),
        loss=float(F.cross_entropy(logits, labels)),
        mismatch=mismatches[0] if mismatches else None,
    )


def _mismatch(norm: nn.BatchNorm2d, values: Tensor) -> float:
    """Return the mean divergence of a batch (N, C, H, W) from the running statistics in nats."""
    if norm.running_mean is None or norm.running_var is None:
        return 0.0
    variance = norm.running_var + norm.eps
    ratio = (values.var((0, 2, 3)) + norm.eps) / variance
    distance = (values.mean((0, 2, 3)) - norm.running_mean) ** 2 / variance
    return float(((ratio - 1 - ratio.log() + distance) / 2).mean())


def _sorted_by_merit(tried: list[TriedNormalisation]) -> list[TriedNormalisation]:
    best = max(trial.accuracy for trial in tried)

    def merit(trial: TriedNormalisation) -> tuple[float, ...]:
        if trial.accuracy < best - _EQUAL:
            return (1, -trial.accuracy)
        return (0, trial.loss if trial.mismatch is None else trial.mismatch)

    return sorted(tried, key=merit)
