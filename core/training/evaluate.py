"""Loss and accuracy of a model on a set of images, in float32, whatever it was trained in."""

import torch
import torch.nn.functional as F

from core.data.batches import DeviceImages

BATCH = 500


@torch.inference_mode()
def evaluate(model: torch.nn.Module, images: DeviceImages) -> tuple[float, float]:
    """Mean cross entropy in nats and accuracy in [0, 1], in evaluation mode; the model's modes are put back."""
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
    finally:
        for module, mode in training.items():
            module.training = mode
    return loss.item() / len(images), correct.item() / len(images)
