"""The derivatives of a scoring batch's loss that saliencies are made of."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from core.compress.pruning.scoring_images import ScoringBatch
from core.compress.pruning.selection import Scores
from core.config import ScoreMode
from core.errors import UserError
from core.models.state import preserve_state


@contextmanager
def float_gradients(device: torch.device) -> Iterator[None]:
    """Switch autograd on and autocast off, whatever the caller has set."""
    with torch.enable_grad(), torch.autocast(device.type, enabled=False):
        yield


def times_gradient(
    factors: Mapping[str, Tensor],
    model: nn.Module,
    weights: dict[str, Tensor],
    batch: ScoringBatch,
    mode: ScoreMode,
    temperature: float = 1.0,
) -> Scores:
    """Return factor * dL/dw of each weight, in float32.

    L is the batch's part of the mean cross entropy. weights: their values in the forward pass, by
    name. temperature: what the logits are divided by. The model is left unchanged. Raises UserError
    if BatchNorm has no statistics of a single image.
    """
    leaves = leaves_of(weights)
    with preserve_state(model), float_gradients(batch.images.device):
        loss = _batch_loss(model, leaves, batch, mode, temperature)
        scores = factors_times_gradient(loss, leaves, factors)
    return {name: score.float() for name, score in scores.items()}


def times_hessian_product(
    factors: Mapping[str, Tensor],
    vector: Mapping[str, Tensor],
    model: nn.Module,
    weights: dict[str, Tensor],
    batch: ScoringBatch,
    mode: ScoreMode,
    temperature: float = 1.0,
) -> Scores:
    """Return factor * (H v) of each weight, in float32; H is the Hessian of L in the weights.

    vector: v, by name, in the weights' shapes. The rest is as in `times_gradient`. Attention runs
    in torch's plain implementation, because the others cannot be differentiated twice.
    """
    leaves = leaves_of(weights)
    with preserve_state(model), float_gradients(batch.images.device), sdpa_kernel(SDPBackend.MATH):
        loss = _batch_loss(model, leaves, batch, mode, temperature)
        gradients = torch.autograd.grad(
            loss, list(leaves.values()), create_graph=True, materialize_grads=True
        )
        slopes = [
            (gradient * vector[name]).sum()
            for name, gradient in zip(leaves, gradients, strict=True)
        ]
        scores = factors_times_gradient(torch.stack(slopes).sum(), leaves, factors)
    return {name: score.float() for name, score in scores.items()}


def factors_times_gradient(
    value: Tensor, leaves: dict[str, Tensor], factors: Mapping[str, Tensor]
) -> Scores:
    """factor * d(value)/dw for each weight, zero where `value` does not depend on w.

    Each gradient is freed as soon as it is used. It is not overwritten, because autograd may return
    the same memory twice.
    """
    gradients = list(torch.autograd.grad(value, list(leaves.values()), materialize_grads=True))
    gradients.reverse()
    return {name: factors[name].detach() * gradients.pop() for name in leaves}


def leaves_of(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights as leaves of autograd, in the same memory."""
    return {name: weight.detach().requires_grad_() for name, weight in weights.items()}


def _batch_loss(
    model: nn.Module,
    leaves: dict[str, Tensor],
    batch: ScoringBatch,
    mode: ScoreMode,
    temperature: float,
) -> Tensor:
    constants = {name: parameter.detach() for name, parameter in model.named_parameters()}
    model.train(mode == "train")
    logits = _logits(model, constants | leaves, batch.images.detach())
    return F.cross_entropy(logits / temperature, batch.labels) * batch.share


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
