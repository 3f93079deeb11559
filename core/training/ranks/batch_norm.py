"""BatchNorm with the statistics of a batch that is spread over several processes.

torch's SyncBatchNorm does the same, but on GPUs only.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Sum = Callable[[Tensor], Tensor]
"""Adds up a tensor over all processes, in place, and returns it."""

_KINDS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class SharedBatchNorm(_BatchNorm):
    """Takes the place of a BatchNorm layer, and shares its parameters and buffers."""

    def __init__(self, layer: _BatchNorm, add_up_: Sum):
        super().__init__(layer.num_features, layer.eps, layer.momentum, affine=False)
        self.affine = layer.affine
        self.weight = layer.weight
        self.bias = layer.bias
        self.running_mean = layer.running_mean
        self.running_var = layer.running_var
        self.num_batches_tracked = layer.num_batches_tracked
        self._add_up_ = add_up_

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept what the layer before accepts: (N, C, ...)."""

    def forward(self, images: Tensor) -> Tensor:
        """Normalise (N, C, ...) by the whole batch in training, as usual in evaluation."""
        if not self.training:
            return super().forward(images)
        features = images.float()
        shape = [1, -1, *[1] * (images.dim() - 2)]
        mean, variance = self._statistics(features)
        scale = (variance + self.eps).rsqrt().float().view(shape)
        result = (features - mean.float().view(shape)) * scale
        if self.affine:
            result = result * self.weight.view(shape) + self.bias.view(shape)
        return result.to(images.dtype)

    def _statistics(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and variance of each channel in the whole batch, float64 (C,)."""
        dimensions = [dimension for dimension in range(features.dim()) if dimension != 1]
        variance, mean = torch.var_mean(features, dimensions, correction=0)
        mean = mean.double()
        squares = variance.double() + mean.square()
        # In float64, the difference of squares below loses nothing that float32 would show.
        places = torch.full_like(mean, features.numel() / features.shape[1])
        sums = torch.stack([mean * places, squares * places, places])
        mean_sum, square_sum, total = _AddUp.apply(sums, self._add_up_)
        mean = mean_sum / total
        variance = (square_sum / total - mean.square()).clamp(min=0)
        self._track(mean.detach(), variance.detach(), total)
        return mean, variance

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, total: Tensor) -> None:
        """Update the running statistics; their variance is the unbiased one."""
        # Layers without these buffers are not replaced.
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = self.momentum
        if share is None:
            share = 1 / int(self.num_batches_tracked)
        unbiased = variance * total / (total - 1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)


class _AddUp(torch.autograd.Function):
    """The sum over all processes. So its gradient is the sum of theirs."""

    @staticmethod
    def forward(context: Any, tensor: Tensor, add_up_: Sum) -> Tensor:
        context.add_up_ = add_up_
        return add_up_(tensor.clone())

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return context.add_up_(gradient.clone()), None


def join_batch_norms_(model: nn.Module, add_up_: Sum) -> list[str]:
    """Replace all BatchNorm layers of a model by SharedBatchNorm; mutates the model.

    Returns the names of those that stay: layers of other classes, or without running statistics.
    """
    left_out = []
    for name, layer in list(model.named_modules(remove_duplicate=False)):
        if not isinstance(layer, _BatchNorm):
            continue
        if name and type(layer) in _KINDS and layer.running_mean is not None:
            model.set_submodule(name, SharedBatchNorm(layer, add_up_))
        else:
            left_out.append(name)
    return left_out
