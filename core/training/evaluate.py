"""Measures the loss and accuracy of a model on a set of images, in float32."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn

from core.data.batches import DeviceImages
from core.events import Progress

TEST_BATCH = 500  # images


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
