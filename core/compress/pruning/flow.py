"""Finds the kept weights that can still matter: those on a path from the image to the outputs.

A weight matters only if something reaches it from the image, and if what it makes reaches an
output. Both are followed as in SynFlow (arXiv:2006.05467): in a network of non-negative weights and
without biases, a positive image gives a positive value to all that it reaches, and the gradient of
the outputs is positive for all from which they are reached.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from core.compress.masks import Masks
from core.models.parameters import prunable_weights
from core.models.state import preserve_state


def live_weights(model: nn.Module, masks: Masks, side: int) -> Masks:
    """Find the kept weights through which an image can change an output.

    masks: which weights are kept, by parameter name. A prunable weight without a mask is kept.
    side: height and width of an image. Returns masks on the CPU. The values of the weights play no
    part, and the model is left unchanged.

    Convolutions, linear layers, additions, concatenations and pooling pass on what reaches them, at
    each position. Normalisation and activations pass on each channel. A bias passes on nothing,
    because it is the same for every image.
    """
    shares = {
        name: _share_of_inputs(weight, masks.get(name)).requires_grad_()
        for name, weight in prunable_weights(model).items()
    }
    tensors = dict([*model.named_parameters(), *model.named_buffers()])
    others = {name: _constant(name, tensor) for name, tensor in tensors.items()}
    # Pixels that differ: attention over equal values would have no gradient.
    image = torch.linspace(1, 2, 3 * side**2, dtype=torch.float64).view(1, 3, side, side)
    with preserve_state(model), torch.enable_grad(), _PassingOn():
        model.eval()
        reached = functional_call(model, others | shares, (image,)).sum()
        gradients = torch.autograd.grad(reached, list(shares.values()), materialize_grads=True)
    return {
        name: (share.detach() > 0) & (gradient != 0)
        for (name, share), gradient in zip(shares.items(), gradients, strict=True)
    }


def _share_of_inputs(weight: Tensor, mask: Tensor | None) -> Tensor:
    """Weights that make each output the mean of its kept inputs, so that no value can overflow."""
    kept = torch.ones(weight.shape, dtype=torch.float64)
    if mask is not None:
        kept = mask.cpu().double()
    inputs = kept.flatten(1).sum(1).clamp(min=1)
    return kept / inputs.view(-1, *[1] * (kept.ndim - 1))


_ADDED = ("bias", "token", "embedding", "bias_table")  # the last words of what is added to a value


def _constant(name: str, tensor: Tensor) -> Tensor:
    """What stands for a tensor that is not pruned: 0 if it is added, else a factor.

    Tables of indices keep their values.
    """
    if not tensor.is_floating_point():
        return tensor.detach().cpu()
    if name.endswith(_ADDED):
        return torch.zeros(tensor.shape, dtype=torch.float64)
    factor = 1 / tensor[0].numel() if tensor.ndim > 1 else 1.0
    return torch.full(tensor.shape, factor, dtype=torch.float64)


def _unchanged(values: Tensor, *arguments: Any, **options: Any) -> Tensor:
    return values


def _normalised(values: Tensor, *arguments: Any, **options: Any) -> Tensor:
    """Values of mean 1, so that none overflows or underflows in a deep network."""
    mean = values.detach().mean()
    return values / mean if mean > 0 else values


def _gate(values: Tensor, *arguments: Any, **options: Any) -> Tensor:
    """As a sigmoid, a gate that is open for 0, but with a gradient for large values too."""
    return 0.5 + values / (1 + values)


def _mean_pool(values: Tensor, *arguments: Any, **options: Any) -> Tensor:
    """Pool as `F.max_pool2d` would, but let every position through and not the largest only."""
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    given = dict(zip(names, arguments, strict=False)) | options
    return F.avg_pool2d(
        values,
        given["kernel_size"],
        given.get("stride"),
        given.get("padding", 0),
        bool(given.get("ceil_mode", False)),
    )


_REPLACEMENTS: dict[Callable[..., Any], Callable[..., Tensor]] = {
    F.batch_norm: _normalised,
    F.layer_norm: _normalised,
    F.group_norm: _normalised,
    F.gelu: _unchanged,
    F.silu: _unchanged,
    F.hardswish: _unchanged,
    F.hardtanh: _unchanged,
    F.relu6: _unchanged,
    F.hardsigmoid: _gate,
    torch.sigmoid: _gate,
    F.max_pool2d: _mean_pool,
}
"""Functions of which some values or gradients would be 0 although something reaches them."""


class _PassingOn(TorchFunctionMode):
    """Calls the replacements in the place of their functions."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        called: Callable[..., Any] = _REPLACEMENTS.get(function, function)
        return called(*args, **(kwargs or {}))
