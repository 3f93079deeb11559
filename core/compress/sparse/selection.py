"""Chooses which weights of a layer stay, exactly so many of them."""

import torch
from torch import Tensor

from core.compress.compensation.output_error import OutputError
from core.compress.pruning.selection import highest_keys, sortable_keys

_PENALTIES = tuple(0.03 * (2 / 0.03) ** (stage / 5) for stage in range(6))
"""From 0.03 to 2, as shares of the mean square of an input. Between them the mask settles.

On layers of a ResNet-20, penalties that rise faster or further left 5 to 15% more error, and more
of them left 1% less.
"""

_STEPS = 6  # with each penalty


def keep_largest(saliency: Tensor, count: int, tier: Tensor) -> Tensor:
    """Return a mask of the `count` weights of the highest saliency, bool in its shape.

    saliency: at least 0. tier: whole numbers from 0 on, in the same shape. Weights of a higher tier
    come first, in spite of their saliency. Of equals the earlier one is kept.
    """
    mask = torch.zeros_like(saliency, dtype=torch.bool)
    left = count
    for value in range(int(tier.max()), -1, -1):
        members = tier == value
        size = int(members.sum())
        if size > left:
            keys = sortable_keys({"the layer": saliency.masked_fill(~members, -1.0)})
            (highest,) = highest_keys(keys, left)
            return mask | highest.view(mask.shape)
        mask |= members
        left -= size
    return mask


def keep_by_error(error: OutputError, count: int, tier: Tensor) -> Tensor:
    """Return a mask of `count` weights with which the output error is small, bool (G, R, n).

    tier: as in `keep_largest`.

    The alternating direction method of multipliers: weights of least error are drawn towards sparse
    ones, and these follow, while the penalty for their distance rises. Boyd et al., "Distributed
    Optimization and Statistical Learning via the Alternating Direction Method of Multipliers"
    (2011), section 9.1; Meng et al., "ALPS" (arXiv:2406.07831), for layers. Inputs are scaled to a
    mean square of 1 before, and float32 is precise enough to choose.
    """
    scale = error.quadratic.diagonal(0, 1, 2).rsqrt()
    quadratic = (error.quadratic * scale[:, :, None] * scale[:, None, :]).float()
    linear = (error.linear * scale[:, None, :]).float()
    dual = torch.zeros_like(linear)  # scaled by the penalty, which it is divided by
    weight = (error.weight / scale[:, None, :]).float()
    mask = keep_largest(weight.abs(), count, tier)
    sparse = weight * mask
    previous = _PENALTIES[0]
    for penalty in _PENALTIES:
        inverse = _inverse(quadratic, penalty)
        dual *= previous / penalty
        previous = penalty
        for _ in range(_STEPS):
            weight = (linear + penalty * (sparse - dual)) @ inverse
            dual += weight
            mask = keep_largest(dual.abs(), count, tier)
            sparse = dual * mask
            dual -= sparse
    return mask


def _inverse(matrices: Tensor, added: float) -> Tensor:
    """The inverses of symmetric matrices, (G, n, n), after this is added to their diagonals."""
    shifted = matrices.clone()
    shifted.diagonal(0, 1, 2).add_(added)
    return torch.cholesky_inverse(torch.linalg.cholesky(shifted))
