"""Re-estimates BatchNorm's running statistics, which belong to the weights before compression.

The remedy of stochastic weight averaging, Izmailov et al. (arXiv:1803.05407), section 3.2: one more
forward pass over training images.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from core.errors import UserError

_STATISTICS = ("running_mean", "running_var")

Statistics = dict[str, Tensor]
"""The running means and variances of a network by their names in its state dict."""


def statistics(model: nn.Module) -> Statistics:
    """Return a copy of the running means and variances of the model."""
    return {
        name: buffer.clone()
        for name, buffer in model.named_buffers()
        if name.rpartition(".")[2] in _STATISTICS
    }


def set_blended_(model: nn.Module, old: Statistics, new: Statistics, share: float) -> None:
    """Set the statistics to a blend with this share of the new ones, in [0, 1].

    With a share of 0 or 1 they are exactly the old or the new ones.
    """
    for name, buffer in model.named_buffers():
        if name in old:
            buffer.copy_(torch.lerp(old[name], new[name], share))


@torch.no_grad()
def batchnorm_(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set every BatchNorm's running mean and variance to the average over batches of images.

    batches: normalised training images, (N, C, H, W) each with N of at least 2, on the model's
    device. Augment them as in training, because other images have other statistics. Each batch
    counts the same, so they should be of one size.

    Only running_mean and running_var change. Dropout and everything else runs as in evaluation, but
    BatchNorm normalises by the batch, as in training. After an exception nothing has changed.
    Raises UserError if there is no batch, or one of fewer than two images. Izmailov et al.
    (arXiv:1803.05407), section 3.2.
    """
    layers = [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and module.running_mean is not None
    ]
    with _restoring_all_but_statistics(model, layers):
        _measure_(model, layers, batches)


def _measure_(model: nn.Module, layers: list[_BatchNorm], batches: Iterable[Tensor]) -> None:
    model.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # PyTorch then averages over all batches, each with the same weight
        layer.train()
    has_images = False
    for images in batches:
        if len(images) < 2:
            raise UserError(
                f"Re-estimating BatchNorm takes batches of at least 2 images, got {len(images)}"
            )
        model(images)
        has_images = True
    if not has_images:
        raise UserError(
            "Re-estimating BatchNorm takes at least one batch of training images, got none"
        )


@contextmanager
def _restoring_all_but_statistics(model: nn.Module, layers: list[_BatchNorm]) -> Iterator[None]:
    """Restore modes, momentum and batch counters at the end.

    After an exception, restore the running means and variances, too.
    """
    modes = [(module, module.training) for module in model.modules()]
    momenta = [(layer, layer.momentum) for layer in layers]
    buffers = [
        (layer, name, buffer.clone())
        for layer in layers
        for name, buffer in layer.named_buffers(recurse=False)
    ]
    succeeded = False
    try:
        yield
        succeeded = True
    finally:
        for module, was_training in modes:
            module.training = was_training
        for layer, momentum in momenta:
            layer.momentum = momentum
        for layer, name, value in buffers:
            if name not in _STATISTICS or not succeeded:
                getattr(layer, name).copy_(value)
