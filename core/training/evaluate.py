"""Measures the loss and accuracy of a model on a set of images, in float32."""

import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.data.batches import DeviceImages
from core.events import Progress

TEST_BATCH = 500  # images


@dataclass(frozen=True)
class Validation:
    """What a model does on the images that were held back.

    loss: mean cross entropy in nats. accuracy: in [0, 1]. divergence: mean Kullback-Leibler
    divergence from another model's answers in nats, None if there is no other model.
    """

    loss: float
    accuracy: float
    divergence: float | None = None


def evaluate(model: nn.Module, images: DeviceImages) -> tuple[float, float]:
    """Return the mean cross entropy in nats and the accuracy in [0, 1].

    The model runs in evaluation mode. Every module's mode is then restored.
    """
    evaluation = evaluate_with_progress(model, images, "")
    while True:
        try:
            next(evaluation)
        except StopIteration as end:
            loss, accuracy = end.value
            return loss, accuracy


@torch.inference_mode()
def evaluate_with_progress(
    model: nn.Module, images: DeviceImages, stage: str
) -> Generator[Progress, None, tuple[float, float]]:
    """Evaluate as `evaluate` does, and yield Progress of `stage` after every batch.

    The modules' modes are restored when the generator ends or is closed.
    """
    loss = torch.zeros((), device=images.device)
    correct = torch.zeros((), device=images.device, dtype=torch.int64)
    with _evaluation_mode(model):
        for start in range(0, len(images), TEST_BATCH):
            batch, labels = images.batch(slice(start, start + TEST_BATCH))
            logits = model(batch)
            loss += F.cross_entropy(logits, labels, reduction="sum")
            correct += (logits.argmax(1) == labels).sum()
            yield Progress(stage, min(start + TEST_BATCH, len(images)), len(images), "images")
    return loss.item() / len(images), correct.item() / len(images)


@torch.inference_mode()
def mean_divergence(model: nn.Module, reference: nn.Module, images: DeviceImages) -> float:
    """Return the mean of `kl_divergence` from the reference's answers to the model's, in nats.

    It is infinite if it is not a number, so that it never counts as the least of several. Both
    models run in evaluation mode. Every module's mode is then restored.
    """
    total = torch.zeros((), device=images.device)
    with _evaluation_mode(model), _evaluation_mode(reference):
        for start in range(0, len(images), TEST_BATCH):
            batch, _ = images.batch(slice(start, start + TEST_BATCH))
            total += kl_divergence(model(batch), reference(batch)).sum()
    mean = total.item() / len(images)
    return math.inf if math.isnan(mean) else mean


def kl_divergence(logits: Tensor, reference: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence from the reference for each image, in nats, (N,).

    logits, reference: (N, C) logits. It is 0 where both give every class the same probability.
    """
    log_probabilities = F.log_softmax(logits.float(), 1)
    log_reference = F.log_softmax(reference.float(), 1)
    terms = F.kl_div(log_probabilities, log_reference, reduction="none", log_target=True)
    return terms.sum(1)


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put the model into evaluation mode, and restore each module's mode at the end."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
