"""Scores the weights of a network on one batch, by each pruning method.

SNIP (arXiv:1810.02340), eq. 5; FORCE (arXiv:2006.09081), progressive sparsification; GraSP
(arXiv:2002.07376), eq. 8; SynFlow (arXiv:2006.05467), eq. 3; SNIP shuffled within each layer
(arXiv:2009.08576); the magnitude of the weights; and random scores.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from core.compress.pruning.gradients import (
    factors_times_gradient,
    float_gradients,
    leaves_of,
    times_gradient,
    times_hessian_product,
)
from core.compress.pruning.random_scores import erk_scores, random_scores, uniform_plus_scores
from core.compress.pruning.scoring_images import ScoringBatch
from core.compress.pruning.seeds import derived_seed
from core.compress.pruning.selection import Scores
from core.config import ScoreMode
from core.models.parameters import prunable_weights
from core.models.state import preserve_state

_GRASP_TEMPERATURE = 200.0
"""What GraSP divides the logits by, as in the authors' code."""


@dataclass(frozen=True)
class ScoringOptions:
    """What some methods depend on besides the network and the images.

    mode: the mode of the network while it is scored. seed: that of random choices. first_pass: the
    sums of the first pass through all images, for a method of `FIRST_PASSES`.
    """

    mode: ScoreMode = "eval"
    seed: int = 0
    first_pass: Scores | None = None


Saliency = Callable[[nn.Module, dict[str, Tensor], ScoringBatch, ScoringOptions], Scores]
"""Scores a network's weights on one batch, from (model, weights, batch, options).

The weights are the model's, but zero where earlier rounds have cut them. The scores are signed and
in new memory, because the caller adds them up in place. The model is left unchanged.
"""


def connection_sensitivity(
    model: nn.Module, weights: dict[str, Tensor], batch: ScoringBatch, options: ScoringOptions
) -> Scores:
    """Score each weight by w * dL/dw, L being the batch's part of the mean loss (SNIP)."""
    return times_gradient(weights, model, weights, batch, options.mode)


def recoverable_sensitivity(
    model: nn.Module, weights: dict[str, Tensor], batch: ScoringBatch, options: ScoringOptions
) -> Scores:
    """Score each weight by w * dL/dw, where w is its value before any cut (FORCE).

    The gradient is that of the network after the cuts. So it says of a weight that has been cut how
    the loss would change if the weight came back.
    """
    return times_gradient(prunable_weights(model), model, weights, batch, options.mode)


def shuffled_sensitivity(
    model: nn.Module, weights: dict[str, Tensor], batch: ScoringBatch, options: ScoringOptions
) -> Scores:
    """Shuffle the scores of SNIP within each layer, in the same way for all batches.

    So each layer keeps as many weights as with SNIP, at every density.
    """
    generator = _generator(options)
    shuffled = {}
    for name, score in connection_sensitivity(model, weights, batch, options).items():
        order = torch.randperm(score.numel(), generator=generator)
        shuffled[name] = score.flatten()[order.to(score.device)].view(score.shape)
    return shuffled


def tempered_gradient(
    model: nn.Module, weights: dict[str, Tensor], batch: ScoringBatch, options: ScoringOptions
) -> Scores:
    """Return dL/dw of each weight, at the temperature of GraSP. It is GraSP's first pass."""
    ones = {name: weight.new_ones(()) for name, weight in weights.items()}
    return times_gradient(ones, model, weights, batch, options.mode, _GRASP_TEMPERATURE)


def gradient_flow(
    model: nn.Module, weights: dict[str, Tensor], batch: ScoringBatch, options: ScoringOptions
) -> Scores:
    """Score each weight by w * (H g): half of what |g|^2 loses without it, to first order (GraSP).

    g is the gradient of the mean loss of all images, and H is the Hessian of the batch's part of
    it. The paper scores by -w * (H g) and removes the highest. Here the sign is the other one,
    because the highest are kept. Raises ValueError without the first pass, which gives g.
    """
    if options.first_pass is None:
        raise ValueError("GraSP needs the gradient of all images, from a first pass")
    return times_hessian_product(
        weights, options.first_pass, model, weights, batch, options.mode, _GRASP_TEMPERATURE
    )


def synaptic_flow(
    model: nn.Module, weights: dict[str, Tensor], batch: ScoringBatch, options: ScoringOptions
) -> Scores:
    """Score each weight by w * dR/dw in the network of absolute values (SynFlow).

    R is the sum of the logits for an image of ones. As in the authors' code, all parameters and
    buffers become positive, and BatchNorm runs in evaluation mode. The computation is in float64,
    because the flow through a deep network leaves the range of float32. MPS has no float64, so
    there it runs on the CPU.
    """
    images = batch.images
    device = torch.device("cpu") if images.device.type == "mps" else images.device
    tensors = dict([*model.named_parameters(), *model.named_buffers()])
    constants = {name: _absolute(tensor.to(device)) for name, tensor in tensors.items()}
    leaves = leaves_of({name: _absolute(weight.to(device)) for name, weight in weights.items()})
    ones = torch.ones(1, *images.shape[1:], dtype=torch.float64, device=device)
    with preserve_state(model), float_gradients(images.device):
        model.eval()
        flow = functional_call(model, constants | leaves, (ones,)).sum()
        return factors_times_gradient(flow, leaves, leaves)


def magnitude(
    model: nn.Module, weights: dict[str, Tensor], batch: ScoringBatch, options: ScoringOptions
) -> Scores:
    """Score each weight by its absolute value."""
    return {name: weight.abs() for name, weight in weights.items()}


def _by_chance(draw: Callable[[Mapping[str, Tensor], torch.Generator], Scores]) -> Saliency:
    """Make a saliency of a function that draws scores on the CPU.

    So a seed gives the same scores on every device. On MPS, which has no float64, they stay on the
    CPU.
    """

    def saliency(
        model: nn.Module, weights: dict[str, Tensor], batch: ScoringBatch, options: ScoringOptions
    ) -> Scores:
        scores = draw(weights, _generator(options))
        device = batch.images.device
        if device.type == "mps":
            return scores
        return {name: score.to(device) for name, score in scores.items()}

    return saliency


SALIENCIES: dict[str, Saliency] = {
    "snip": connection_sensitivity,
    "iterative-snip": connection_sensitivity,
    "force": recoverable_sensitivity,
    "grasp": gradient_flow,
    "synflow": synaptic_flow,
    "magnitude": magnitude,
    "erk": _by_chance(erk_scores),
    "uniform+": _by_chance(uniform_plus_scores),
    "random": _by_chance(random_scores),
    "snip-shuffled": shuffled_sensitivity,
    "snip-reinitialized": connection_sensitivity,
    "channel-snip": connection_sensitivity,
    "channel-magnitude": magnitude,
}
"""The function of each method in `core.compress.pruning.methods.PRUNING_METHODS`."""

FIRST_PASSES: dict[str, Saliency] = {"grasp": tempered_gradient}
"""What some methods sum over all images before they score them."""


def _generator(options: ScoringOptions) -> torch.Generator:
    return torch.Generator().manual_seed(derived_seed(options.seed, "pruning"))


def _absolute(tensor: Tensor) -> Tensor:
    """A copy with absolute values in float64; integers, such as counters, keep their values."""
    if tensor.is_floating_point():
        return tensor.detach().double().abs()
    return tensor.detach().clone()
