"""Masks: which weights stay, chosen exactly, and kept at zero through training.

A mask set maps a parameter's name to a bool tensor of the parameter's shape, True where the weight is kept.
"""

from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, nn

from core.errors import UserError
from core.models.parameters import prunable

Masks = dict[str, Tensor]


def keep_top(scores: dict[str, Tensor], density: float, layerwise: bool = False) -> Masks:
    """Keep the highest scores: exactly round(density * n) of all n, or of each layer's n (there at least one).

    Among equal scores the earlier layer wins, then the lower flat index. `density` is in (0, 1]. Raises UserError for
    another density and, by the layer's name, for scores that are NaN.
    """
    check_density(density)
    flat = ordered(scores)
    if layerwise:
        kept = [_keep([keys], count_kept(len(keys), density, layerwise))[0] for keys in flat]
    else:
        kept = _keep(flat, count_kept(sum(map(len, flat)), density))
    return {name: mask.view(score.shape) for (name, score), mask in zip(scores.items(), kept, strict=True)}


def count_kept(total: int, density: float, layerwise: bool = False) -> int:
    """How many of `total` weights a density keeps; a layer for itself keeps at least one."""
    return max(round(density * total), int(layerwise and total > 0))


def check_density(density: float) -> None:
    """Raises UserError outside (0, 1]."""
    if not 0 < density <= 1:
        raise UserError(f"density must be in (0, 1], got {density}")


def ordered(scores: dict[str, Tensor]) -> list[Tensor]:
    """The scores of each layer, flat, as integers of the same order: what "higher" and "equal" mean.

    A float's bits, read as an integer, sort as the float does, except that negative ones run backwards. Integers
    compare alike in every thread, also where some flush denormal floats to zero. int64 from float64, else int32.
    Raises UserError for NaN, naming the layer.
    """
    for name, missing in zip(scores, _read(score.isnan().any() for score in scores.values()), strict=True):
        if missing:
            raise UserError(f"The scores of {name} contain NaN.")
    small = all(score.dtype in (torch.float16, torch.bfloat16, torch.float32) for score in scores.values())
    return [_keys(score.detach().reshape(-1), small) for score in scores.values()]


def _keys(flat: Tensor, small: bool) -> Tensor:
    flat = flat.to(torch.float32 if small else torch.float64) + 0.0  # a copy, in which -0.0 has become 0.0
    keys, sign, rest = (flat.view(torch.int32), 31, 2**31 - 1) if small else (flat.view(torch.int64), 63, 2**63 - 1)
    return keys.bitwise_xor_((keys >> sign).bitwise_and_(rest))


def _keep(flat: list[Tensor], count: int) -> list[Tensor]:
    """Masks of the `count` highest keys; among equal ones the first win."""
    if count == 0:
        return [torch.zeros_like(keys, dtype=torch.bool) for keys in flat]
    threshold = _kth_highest(torch.cat(flat), count)
    masks = [keys > threshold for keys in flat]
    missing = count - sum(_read(mask.sum() for mask in masks))
    for keys, mask in zip(flat, masks, strict=True):
        if missing == 0:
            break
        ties = keys == threshold
        found = int(ties.sum())
        if found > missing:
            ties[ties.nonzero()[missing:]] = False  # in the order of their indices
        mask |= ties
        missing -= min(found, missing)
    return masks


def _kth_highest(keys: Tensor, k: int) -> int | Tensor:
    """Reorders `keys`. On a CPU NumPy sorts integers in a third of torch's time to select. It could select as well, ten
    times as fast as it sorts, but twenty times as slowly where many scores are zero."""
    place = len(keys) - k
    if keys.is_cuda:
        return keys.kthvalue(place + 1).values
    array = keys.cpu().numpy()
    array.sort()
    return int(array[place])


def _read(scalars: Iterable[Tensor]) -> list:
    """The values of scalar tensors, waiting only once for their device."""
    scalars = list(scalars)
    return torch.stack(scalars).tolist() if scalars else []


def counts(masks: Masks) -> dict[str, tuple[int, int]]:
    """Kept and total weights of each layer."""
    kept = _read(mask.sum() for mask in masks.values())
    return {name: (count, mask.numel()) for (name, mask), count in zip(masks.items(), kept, strict=True)}


def dead_layers(masks: Masks) -> list[str]:
    """The layers that keep nothing."""
    return [name for name, (kept, _) in counts(masks).items() if kept == 0]


def validate(model: nn.Module, masks: Masks) -> None:
    """Raises UserError for a mask that is not bool or that no prunable weight has the name and the shape of.

    A weight without a mask is no error: it stays dense.
    """
    weights = prunable(model)
    for name, mask in masks.items():
        if name not in weights:
            raise UserError(f"There is a mask for {name}, but the network has no prunable weight of that name.")
        if mask.shape != weights[name].shape or mask.dtype != torch.bool:
            raise UserError(f"The mask of {name} must be bool of shape {tuple(weights[name].shape)}, "
                            f"got {mask.dtype} of shape {tuple(mask.shape)}.")


class Applied:
    """Masks at work on a model; `remove()`, or leaving a `with` block, ends it. The zeros stay."""

    def __init__(self):
        self.hooks = []

    def remove(self) -> None:
        for hook in self.hooks:
            hook.remove()
        self.hooks.clear()

    def __enter__(self) -> "Applied":
        return self

    def __exit__(self, *_) -> None:
        self.remove()


def apply_(model: nn.Module, masks: Masks, optimizer: torch.optim.Optimizer | None = None) -> Applied:
    """Set the pruned weights to 0.0 and keep them there through training.

    The gradient of a pruned weight is zeroed as soon as it is there, so that a fresh optimiser's momentum of it stays
    zero and weight decay has nothing to shrink. Hand in an `optimizer` that has taken steps already, or that reads
    gradients which something else exchanged after the backward pass: its state of the pruned weights is cleared now,
    and the weights again after each of its steps. Move the model to its device and memory format before, and thaw
    weights that will be trained. No hook waits for the device. Raises UserError as `validate` does.
    """
    validate(model, masks)
    weights, applied = prunable(model), Applied()
    pruned = {weights[name]: _pruned(weights[name], mask) for name, mask in masks.items()}
    _clear(pruned)
    for weight, gone in pruned.items():
        if weight.requires_grad:
            applied.hooks.append(weight.register_post_accumulate_grad_hook(partial(_clear_gradient, gone)))
    if optimizer is not None:
        _clear_state(optimizer, pruned)
        applied.hooks.append(optimizer.register_step_post_hook(lambda *_: _clear(pruned)))
    return applied


def _pruned(weight: Tensor, mask: Tensor) -> Tensor:
    """The mask's opposite on the weight's device and in its memory format, so that both are read in one sweep."""
    return torch.empty_like(weight, dtype=torch.bool, requires_grad=False).copy_(~mask)


# Filled, never multiplied: -1 * 0 is -0.0, and NaN * 0 is NaN.
def _clear_gradient(gone: Tensor, weight: Tensor) -> None:
    weight.grad.masked_fill_(gone, 0.0)


@torch.no_grad()
def _clear(pruned: dict[nn.Parameter, Tensor]) -> None:
    for weight, gone in pruned.items():
        weight.masked_fill_(gone, 0.0)


@torch.no_grad()
def _clear_state(optimizer: torch.optim.Optimizer, pruned: dict[nn.Parameter, Tensor]) -> None:
    for weight, gone in pruned.items():
        for state in optimizer.state.get(weight, {}).values():
            if isinstance(state, Tensor) and state.shape == weight.shape:
                state.masked_fill_(gone, 0.0)
