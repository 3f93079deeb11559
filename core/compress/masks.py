"""Masks: which weights stay, selected exactly, and kept at zero through training.

A set of masks maps a parameter's name to a bool tensor of the parameter's shape, True where the
weight is kept.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from core.compress.pruning.methods import GROUP, has_groups
from core.compress.pruning.selection import (
    Scores,
    highest_keys,
    highest_of_groups,
    read_values,
    sortable_keys,
)
from core.config import PATTERN_DENSITIES, Pattern
from core.errors import UserError
from core.models.parameters import prunable_weights

Masks = dict[str, Tensor]


def keep_top(
    scores: Scores, density: float, layerwise: bool = False, pattern: Pattern = "free"
) -> Masks:
    """Keep the highest scores: exactly round(density * n) of all n weights.

    layerwise: keep round(density * n) of each layer's n weights instead, and at least one. pattern:
    "2:4" or "1:4" keeps so many of each four weights in a row along the input channels instead,
    whatever the density, and layers without such groups stay dense.

    Among equal scores the earlier layer wins, then the lower flat index. `density` is in (0, 1].
    Raises UserError for another density and, by the layer's name, for scores that are NaN.
    """
    check_density(density)
    if pattern != "free":
        return {name: _keep_pattern(name, score, pattern) for name, score in scores.items()}
    keys = sortable_keys(scores)
    if layerwise:
        kept = []
        for layer_keys in keys:
            count = count_kept(len(layer_keys), density, layerwise)
            kept += highest_keys([layer_keys], count)
    else:
        total = sum(len(layer_keys) for layer_keys in keys)
        kept = highest_keys(keys, count_kept(total, density))
    return {
        name: mask.view(score.shape)
        for (name, score), mask in zip(scores.items(), kept, strict=True)
    }


def _keep_pattern(name: str, score: Tensor, pattern: Pattern) -> Tensor:
    (keys,) = sortable_keys({name: score})
    if not has_groups(score.shape):
        return torch.ones_like(score, dtype=torch.bool)
    count = round(GROUP * PATTERN_DENSITIES[pattern])
    return highest_of_groups(keys.view(score.shape), count, GROUP)


def count_kept(total: int, density: float, layerwise: bool = False) -> int:
    """How many of `total` weights a density keeps. A layer by itself keeps at least one."""
    count = round(density * total)
    if layerwise and total > 0:
        return max(count, 1)
    return count


def check_density(density: float) -> None:
    """Raises UserError outside (0, 1]."""
    if not 0 < density <= 1:
        raise UserError(f"density must be in (0, 1], got {density}")


def counts(masks: Masks) -> dict[str, tuple[int, int]]:
    """Kept and total weights of each layer."""
    kept = read_values(mask.sum() for mask in masks.values())
    return {
        name: (count, mask.numel()) for (name, mask), count in zip(masks.items(), kept, strict=True)
    }


def dead_layers(masks: Masks) -> list[str]:
    """The layers that keep nothing."""
    return [name for name, (kept, _) in counts(masks).items() if kept == 0]


def validate(model: nn.Module, masks: Masks) -> None:
    """Check that every mask is bool and has the name and the shape of a prunable weight.

    Raises UserError for a mask that does not fit. A weight without a mask is no error: it stays
    dense.
    """
    weights = prunable_weights(model)
    for name, mask in masks.items():
        if name not in weights:
            raise UserError(
                f"There is a mask for {name}, but the network has no prunable weight of that name."
            )
        if mask.shape != weights[name].shape or mask.dtype != torch.bool:
            raise UserError(
                f"The mask of {name} must be bool of shape {tuple(weights[name].shape)}, "
                f"got {mask.dtype} of shape {tuple(mask.shape)}."
            )


class AppliedMasks:
    """Masks that hold a model's pruned weights at zero.

    `remove()`, or leaving a `with` block, lets them grow again. The zeros stay until then.
    """

    def __init__(self, hooks: list[RemovableHandle]):
        self._hooks = hooks

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def __enter__(self) -> "AppliedMasks":
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def apply_(
    model: nn.Module, masks: Masks, optimizer: torch.optim.Optimizer | None = None
) -> AppliedMasks:
    """Set the pruned weights to 0.0 and keep them there through training; mutates the model.

    The gradient of a pruned weight is zeroed as soon as it is computed. So its momentum in a new
    optimizer stays zero, and weight decay has nothing to shrink.

    Pass an `optimizer` that has taken steps already, or that reads gradients which something else
    exchanged after the backward pass. Its state of the pruned weights is cleared now, and the
    weights are cleared again after each of its steps.

    Move the model to its device and memory format first, and unfreeze the weights that will be
    trained. No hook waits for the device. Raises UserError as `validate` does.
    """
    validate(model, masks)
    weights = prunable_weights(model)
    pruned = {weights[name]: _pruned_places(weights[name], mask) for name, mask in masks.items()}
    _clear_weights(pruned)
    hooks: list[RemovableHandle] = []
    for weight, places in pruned.items():
        if weight.requires_grad:
            # torch has no type hints for this method.
            register: Callable[..., RemovableHandle] = weight.register_post_accumulate_grad_hook
            hooks.append(register(partial(_clear_gradient, places)))
    if optimizer is not None:
        _clear_state(optimizer, pruned)
        hooks.append(optimizer.register_step_post_hook(_after_step(pruned)))
    return AppliedMasks(hooks)


def _pruned_places(weight: Tensor, mask: Tensor) -> Tensor:
    """The inverted mask, on the weight's device and in its memory format.

    With equal memory formats, both are read in one pass.
    """
    places = torch.empty_like(weight, dtype=torch.bool, requires_grad=False)
    return places.copy_(~mask)


# Pruned values are filled, never multiplied: -1 * 0 is -0.0, and NaN * 0 is NaN.


def _clear_gradient(places: Tensor, weight: Tensor) -> None:
    if weight.grad is not None:
        weight.grad.masked_fill_(places, 0.0)


@torch.no_grad()
def _clear_weights(pruned: dict[nn.Parameter, Tensor]) -> None:
    for weight, places in pruned.items():
        weight.masked_fill_(places, 0.0)


@torch.no_grad()
def _clear_state(optimizer: torch.optim.Optimizer, pruned: dict[nn.Parameter, Tensor]) -> None:
    for weight, places in pruned.items():
        for value in optimizer.state.get(weight, {}).values():
            if isinstance(value, Tensor) and value.shape == weight.shape:
                value.masked_fill_(places, 0.0)


def _after_step(pruned: dict[nn.Parameter, Tensor]) -> Callable[..., None]:
    """A hook for an optimizer, which clears the pruned weights after each step."""

    def hook(*arguments: Any) -> None:
        _clear_weights(pruned)

    return hook
