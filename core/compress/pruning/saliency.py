"""How each pruning method scores one batch.

SNIP (arXiv:1810.02340), eq. 5; SynFlow (arXiv:2006.05467), eq. 3; the magnitude of the weights; and
random scores.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from core.compress.pruning.scoring_images import ScoringBatch
from core.compress.pruning.selection import Scores
from core.config import ScoreMode
from core.errors import UserError
from core.models.state import preserve_state


@dataclass(frozen=True)
class ScoringOptions:
    """What some methods depend on besides the network and the images.

    mode: the mode of the network while it is scored. seed: that of random scores.
    """

    mode: ScoreMode = "eval"
    seed: int = 0


Saliency = Callable[[nn.Module, dict[str, Tensor], ScoringBatch, ScoringOptions], Scores]
"""Scores a network's weights on one batch, from (model, weights, batch, options).

The scores are signed and in new memory, because the caller adds them up in place. The model is left
unchanged.
"""


def connection_sensitivity(
    model: nn.Module, weights: dict[str, Tensor], batch: ScoringBatch, options: ScoringOptions
) -> Scores:
    """Score each weight by w * dL/dw, L being the batch's part of the mean loss (SNIP)."""
    leaves = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
    constants = {name: parameter.detach() for name, parameter in model.named_parameters()}
    with preserve_state(model), _float_gradients(batch.images.device):
        model.train(options.mode == "train")
        logits = _logits(model, constants | leaves, batch.images.detach())
        loss = F.cross_entropy(logits, batch.labels) * batch.share
        scores = _weight_times_gradient(loss, leaves)
    return {name: score.float() for name, score in scores.items()}


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
    leaves = {
        name: _absolute(weight.to(device)).requires_grad_() for name, weight in weights.items()
    }
    ones = torch.ones(1, *images.shape[1:], dtype=torch.float64, device=device)
    with preserve_state(model), _float_gradients(images.device):
        model.eval()
        flow = functional_call(model, constants | leaves, (ones,)).sum()
        return _weight_times_gradient(flow, leaves)


def magnitude(
    model: nn.Module, weights: dict[str, Tensor], batch: ScoringBatch, options: ScoringOptions
) -> Scores:
    """Score each weight by its absolute value."""
    return {name: weight.abs() for name, weight in weights.items()}


def random_scores(
    model: nn.Module, weights: dict[str, Tensor], batch: ScoringBatch, options: ScoringOptions
) -> Scores:
    """Draw scores on the CPU, so that a seed gives the same scores on every device."""
    generator = torch.Generator().manual_seed(options.seed)
    return {
        name: torch.rand(weight.shape, generator=generator).to(weight.device)
        for name, weight in weights.items()
    }


SALIENCIES: dict[str, Saliency] = {
    "snip": connection_sensitivity,
    "iterative-snip": connection_sensitivity,
    "synflow": synaptic_flow,
    "magnitude": magnitude,
    "random": random_scores,
}
"""The function of each method in `core.compress.pruning.methods.PRUNING_METHODS`."""


@contextmanager
def _float_gradients(device: torch.device) -> Iterator[None]:
    """Switch autograd on and autocast off, whatever the caller has set."""
    with torch.enable_grad(), torch.autocast(device.type, enabled=False):
        yield


def _logits(model: nn.Module, parameters: dict[str, Tensor], images: Tensor) -> Tensor:
    try:
        logits: Tensor = functional_call(model, parameters, (images,))
    except ValueError as error:
        if len(images) > 1:
            raise
        raise UserError(
            "The scoring batch must have at least 2 images, got 1, of which BatchNorm has no"
            " statistics. In evaluation mode it needs none."
        ) from error
    return logits


def _absolute(tensor: Tensor) -> Tensor:
    """A copy with absolute values in float64; integers, such as counters, keep their values."""
    if tensor.is_floating_point():
        return tensor.detach().double().abs()
    return tensor.detach().clone()


def _weight_times_gradient(value: Tensor, leaves: dict[str, Tensor]) -> Scores:
    """w * d(value)/dw for each weight, zero where `value` does not depend on w.

    Each gradient is freed as soon as it is used. It is not overwritten, because autograd may return
    the same memory twice.
    """
    weights = list(leaves.values())
    gradients = list(torch.autograd.grad(value, weights, materialize_grads=True))
    gradients.reverse()
    return {name: leaf.detach() * gradients.pop() for name, leaf in leaves.items()}
