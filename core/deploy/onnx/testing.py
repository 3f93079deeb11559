"""Measures the loss and accuracy of an ONNX file on a set of images."""

from collections.abc import Generator
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from core.data.batches import DeviceImages
from core.events import Progress

_BATCH = 100  # images


class Engine(Protocol):
    """Runs a network on batches of images."""

    def run(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Return the output for a batch, float32 (N, C)."""


def evaluate_engine(
    engine: Engine, images: DeviceImages, stage: str
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
