"""Random scores: plain ones, and ones that give each layer a density by its shape.

ERK: Rigging the Lottery (arXiv:1911.11134), section 3. Uniform+: The State of Sparsity in Deep
Neural Networks (arXiv:1902.09574), which leaves the first convolution dense and keeps at least 20%
of the last linear layer.

In both, a layer keeps level x share weights, rounded, and at most all that it has. The level is the
same for all layers. A weight scores 1 / level, for the level at which its layer first keeps it; the
weights of a layer come in random order. So the highest scores are what all layers keep at one
level, for every density. A layer that is full leaves the rest to the others, and `keep_top` makes
the total exact (it is the divisor method of Webster and Sainte-Lague).
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from core.compress.pruning.selection import Scores

_LEAST_OF_LAST_LAYER = 0.2


def random_scores(weights: Mapping[str, Tensor], generator: torch.Generator) -> Scores:
    """Draw scores in [0, 1), in float32 on the CPU."""
    return {name: torch.rand(weight.shape, generator=generator) for name, weight in weights.items()}


def erk_scores(weights: Mapping[str, Tensor], generator: torch.Generator) -> Scores:
    """Score for densities that are proportional to (n_in + n_out + kh + kw) / (n_in n_out kh kw).

    These are the sum and the product of the layer's shape; a linear layer has no kernel. In a
    grouped convolution, n_in are the input channels of a group. Returns float64 on the CPU.
    """
    return {
        name: sum(weight.shape) / _places(weight, generator) for name, weight in weights.items()
    }


def uniform_plus_scores(weights: Mapping[str, Tensor], generator: torch.Generator) -> Scores:
    """Score for the same density in all layers, with floors in two of them.

    The first convolution stays dense, and the last linear layer keeps at least 20%. Where these two
    floors would take more than half of the weights that are kept, they are lowered in proportion
    until they take half. So a network without other layers has no floors. Returns float64 on the
    CPU.
    """
    floors = _floors(weights)
    others = sum(weight.numel() for name, weight in weights.items() if name not in floors)
    floor_weights = sum(floor * weights[name].numel() for name, floor in floors.items())
    factor = others / floor_weights if floor_weights else 1.0
    scores = {}
    for name, weight in weights.items():
        places = _places(weight, generator)
        scores[name] = weight.numel() / places
        floor = floors.get(name, 0.0)
        below_floor = places <= floor * weight.numel()
        scores[name][below_floor] *= max(1.0, floor * factor)
    return scores


def _floors(weights: Mapping[str, Tensor]) -> dict[str, float]:
    """The least density of the first convolution and of the last linear layer, by name."""
    convolutions = [name for name, weight in weights.items() if weight.ndim == 4]
    linear_layers = [name for name, weight in weights.items() if weight.ndim == 2]
    floors = dict.fromkeys(convolutions[:1], 1.0)
    return floors | dict.fromkeys(linear_layers[-1:], _LEAST_OF_LAST_LAYER)


def _places(weight: Tensor, generator: torch.Generator) -> Tensor:
    """The places of the weights in a random order: 0.5, 1.5, ... in float64, in their shape."""
    order = torch.randperm(weight.numel(), generator=generator)
    return order.double().add_(0.5).view(weight.shape)
