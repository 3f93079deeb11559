"""Loss and accuracy of a model on a set of images, in float32, whatever it was trained in."""

from collections.abc import Generator

import torch
import torch.nn.functional as F

from core.data.batches import DeviceImages
from core.events import Progress

BATCH = 500


def evaluate(model: torch.nn.Module, images: DeviceImages) -> tuple[float, float]:
    """Mean cross entropy in nats and accuracy in [0, 1], in evaluation mode; the model's modes are put back."""
    evaluation = evaluating(model, images, "")
    while True:
        try:
            next(evaluation)
        except StopIteration as end:
            return end.value


@torch.inference_mode()
def evaluating(model: torch.nn.Module, images: DeviceImages, stage: str
               ) -> Generator[Progress, None, tuple[float, float]]:
    """`evaluate` that yields Progress of `stage` after every batch; the modes are put back at the end."""
    training = {module: module.training for module in model.modules()}
    model.eval()
    loss = torch.zeros((), device=images.device)
    correct = torch.zeros((), device=images.device, dtype=torch.int64)
    try:
        for start in range(0, len(images), BATCH):
            batch, labels = images.batch(slice(start, start + BATCH))
            logits = model(batch)
            loss += F.cross_entropy(logits, labels, reduction="sum")
            correct += (logits.argmax(1) == labels).sum()
            yield Progress(stage, min(start + BATCH, len(images)), len(images), "images")
    finally:
        for module, mode in training.items():
            module.training = mode
    return loss.item() / len(images), correct.item() / len(images)
