"""Measures the loss and accuracy of an ONNX file on a set of images."""

from collections.abc import Generator

import torch
import torch.nn.functional as F

from core.data.batches import DeviceImages
from core.deploy.onnx.engine import OnnxEngine
from core.events import Progress

_BATCH = 100  # images


def evaluate_engine(
    engine: OnnxEngine, images: DeviceImages, stage: str
) -> Generator[Progress, None, tuple[float, float]]:
    """Return the mean cross entropy in nats and the accuracy in [0, 1].

    engine: takes normalised images and returns logits. images: on the CPU. Yields Progress of
    `stage` after every batch.
    """
    loss = 0.0
    correct = 0
    for start in range(0, len(images), _BATCH):
        batch, labels = images.batch(slice(start, start + _BATCH))
        logits = torch.from_numpy(engine.run(batch.numpy()))
        loss += F.cross_entropy(logits, labels, reduction="sum").item()
        correct += int((logits.argmax(1) == labels).sum())
        yield Progress(stage, min(start + _BATCH, len(images)), len(images), "images")
    return loss / len(images), correct / len(images)
