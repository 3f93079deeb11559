"""Re-estimate BatchNorm's running statistics, which describe the weights that a network had before compression.

The remedy of stochastic weight averaging, Izmailov et al. (arXiv:1803.05407), section 3.2: one more forward pass.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from core.errors import UserError


@torch.no_grad()
def batchnorm_(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set every BatchNorm's running mean and variance to the plain average over `batches` of training images.

    batches: normalised images, (N, C, H, W) each, N at least 2, as `model` takes them and on its device, augmented as
        in training: others have other statistics. Each batch counts the same, so they should be of one size.
    Only running_mean and running_var change; dropout and all else runs as in evaluation. Each layer is measured
    behind BatchNorm layers that normalise by the batch, as in training. After an exception nothing has changed.
    Raises UserError if there is no batch, or one of fewer than two images.
    """
    layers = [module for module in model.modules()
              if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None]
    before = [(layer, layer.momentum, {name: buffer.clone() for name, buffer in layer.named_buffers(recurse=False)})
              for layer in layers]
    modes = [(module, module.training) for module in model.modules()]
    kept = {"num_batches_tracked"}
    try:
        _measure_(model, layers, batches)
    except BaseException:
        kept |= {"running_mean", "running_var"}
        raise
    finally:
        for layer, momentum, buffers in before:
            layer.momentum = momentum
            for name in kept & buffers.keys():
                getattr(layer, name).copy_(buffers[name])
        for module, training in modes:
            module.training = training


def _measure_(model: nn.Module, layers: list[nn.Module], batches: Iterable[Tensor]) -> None:
    model.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # PyTorch then averages over all batches since the reset, each with the same weight
        layer.train()
    count = 0
    for count, images in enumerate(batches, 1):  # noqa: B007 - count is read after the loop
        if len(images) < 2:
            raise UserError(f"Re-estimating BatchNorm takes batches of at least 2 images, got {len(images)}")
        model(images)
    if not count:
        raise UserError("Re-estimating BatchNorm takes at least one batch of training images, got none")
