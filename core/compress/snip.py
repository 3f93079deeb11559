"""How much a network would miss each of its weights, before it has learnt anything.

SNIP: Single-shot Network Pruning based on Connection Sensitivity (arXiv 1810.02340), eq. 5, with what it is compared
with: every method gives scores, and `keep_top` of its scores is its mask.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from core.compress.masks import check_density, keep_top
from core.errors import UserError
from core.events import Event, Progress
from core.models.parameters import prunable
from core.models.state import preserved

Scores = dict[str, Tensor]


def scores(model: nn.Module, images: Tensor, labels: Tensor, batch_size: int | None = None) -> Scores:
    """|w * dL/dw| of every prunable weight, keyed by parameter name: the size of the gradient of the loss by a mask
    on the weight, at mask = 1. The paper divides by the sum; no selection depends on that, so it is left out.

    L is the mean cross entropy of `images` (N, C, H, W), normalised, and `labels` (N,), in training mode and in
    float32, also under autocast. With `batch_size` the images pass in batches of it, each with its own BatchNorm
    statistics, and the gradients are summed before the absolute value. The model comes back exactly as it was, also
    after an exception. Raises UserError, naming the layer, for scores that are not finite, and if all are zero.
    """
    return score("snip", model, images, labels, density=1.0, batch_size=batch_size)


def score(method: str, model: nn.Module, images: Tensor, labels: Tensor, *, density: float, layerwise: bool = False,
          batch_size: int | None = None, rounds: int | None = None, seed: int = 0) -> Scores:
    """`scoring` in one go."""
    steps = scoring(method, model, images, labels, density=density, layerwise=layerwise, batch_size=batch_size,
                    rounds=rounds, seed=seed)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def scoring(method: str, model: nn.Module, images: Tensor, labels: Tensor, *, density: float,
            layerwise: bool = False, batch_size: int | None = None, rounds: int | None = None, seed: int = 0
            ) -> Generator[Event, None, Scores]:
    """Scores by any of `METHODS`; `keep_top(scores, density, layerwise)` then gives the method's mask.

    Yields Progress after every pass through the network and returns the scores. At every yield the model is exactly
    as it was. The iterative methods score, keep density^(k / rounds) of the weights, score what is left, and so on
    (FORCE, arXiv 2006.09081, "iterative SNIP"; SynFlow, arXiv 2006.05467, algorithm 1), always on the same images;
    a weight that was cut in an earlier round scores -1, below all others. Their scores serve this density alone;
    those of the `one_shot` methods serve every density. `seed` is random's. Raises UserError as `scores` does, and
    for an unknown method.
    """
    if method not in METHODS:
        raise UserError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    check_density(density)
    measure, weights = METHODS[method], _weights(model)
    rounds = 1 if measure.one_shot else rounds or measure.rounds
    batches = list(_batches(images, labels, batch_size if measure.uses_data else None))
    masks: dict[str, Tensor] = {}
    for k in range(1, rounds + 1):
        left = {name: weight * masks[name].to(weight.device) if masks else weight for name, weight in weights.items()}
        found: Scores = {}
        for index, batch in enumerate(batches, 1):
            _add_(found, measure.saliency(model, left, *batch, seed))
            yield Progress("Scoring", (k - 1) * len(batches) + index, rounds * len(batches), "passes")
        found = {name: value.abs_() for name, value in found.items()}
        _check(found, first=k == 1)
        for name, mask in masks.items():
            found[name].masked_fill_(~mask, -1.0)
        if k < rounds:
            masks = keep_top(found, density ** (k / rounds), layerwise)
    return found


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """The prunable weights without their autograd history or hooks; the memory is the model's."""
    weights = {name: weight.detach() for name, weight in prunable(model).items()}
    if not weights:
        raise UserError("The network has no prunable weights: no convolution and no linear layer.")
    return weights


def _batches(images: Tensor, labels: Tensor, size: int | None) -> Iterator[tuple[Tensor, Tensor, float]]:
    """Images, labels and their share of all; a single last image, of which BatchNorm has no statistics, joins the
    batch before it."""
    count = len(images)
    if count == 0 or count != len(labels):
        raise UserError(f"Scoring takes at least one image and a label each, got {count} and {len(labels)}.")
    size = size or count
    stops = [*range(size, count, size), count]
    if size > 1 and len(stops) > 1 and stops[-1] - stops[-2] == 1:
        del stops[-2]
    for start, stop in zip([0, *stops], stops, strict=False):
        yield images[start:stop], labels[start:stop], (stop - start) / count


def _add_(found: Scores, part: Scores) -> None:
    for name, value in part.items():
        found[name] = found[name].add_(value) if name in found else value


# A saliency is signed and in memory of its own: `scoring` sums it over batches and takes its absolute value in place.

def _connection_sensitivity(model, weights, images, labels, share, seed) -> Scores:
    """This batch's share of w * dL/dw."""
    leaves = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
    with preserved(model), torch.enable_grad(), torch.autocast(images.device.type, enabled=False):
        model.train()
        try:
            logits = functional_call(model, _frozen(model) | leaves, (images.detach(),))
        except ValueError as error:
            if len(images) > 1:
                raise
            raise UserError("The scoring batch must have at least 2 images, got 1, "
                            "of which BatchNorm has no statistics.") from error
        found = _times_gradient(F.cross_entropy(logits, labels) * share, leaves)
    return {name: value.float() for name, value in found.items()}


def _synaptic_flow(model, weights, images, labels, share, seed) -> Scores:
    """w * dR/dw of the network of absolute values, R the sum of its logits for an image of ones.

    As in the authors' code all parameters and buffers lose their signs and BatchNorm runs in evaluation mode. In
    float64, because the flow through a deep network leaves float32's range; on the CPU where there is no float64.
    """
    device = "cpu" if images.device.type == "mps" else images.device
    everything = {name: _unsigned(tensor.to(device)) for name, tensor in [*model.named_parameters(),
                                                                          *model.named_buffers()]}
    leaves = {name: _unsigned(weight.to(device)).requires_grad_() for name, weight in weights.items()}
    with preserved(model), torch.enable_grad(), torch.autocast(images.device.type, enabled=False):
        model.eval()
        ones = torch.ones(1, *images.shape[1:], dtype=torch.float64, device=device)
        return _times_gradient(functional_call(model, everything | leaves, (ones,)).sum(), leaves)


def _magnitude(model, weights, images, labels, share, seed) -> Scores:
    return {name: weight.abs() for name, weight in weights.items()}


def _random(model, weights, images, labels, share, seed) -> Scores:
    """Drawn on the CPU, so that a seed means the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(weight.shape, generator=generator).to(weight.device) for name, weight in weights.items()}


def _frozen(model: nn.Module) -> dict[str, Tensor]:
    """All parameters as constants: no gradient is computed that nobody asked for."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def _unsigned(tensor: Tensor) -> Tensor:
    return tensor.detach().double().abs() if tensor.is_floating_point() else tensor.detach().clone()


def _times_gradient(value: Tensor, leaves: dict[str, Tensor]) -> Scores:
    """w * d(value)/dw, zero where `value` does not depend on w. Each gradient is freed as soon as it is used; it is
    not written to, because autograd may hand out one memory twice."""
    gradients = list(torch.autograd.grad(value, list(leaves.values()), materialize_grads=True))[::-1]
    return {name: leaf.detach() * gradients.pop() for name, leaf in leaves.items()}


def _check(found: Scores, first: bool) -> None:
    """Later rounds may find only zeros, where cutting has disconnected the network: the masks will show it."""
    largest = torch.stack([value.amax() for value in found.values()])  # of absolute values; NaN wins over all
    for name, finite in zip(found, largest.isfinite().tolist(), strict=True):
        if not finite:
            raise UserError(f"The scores of {name} are not all finite: the network's outputs or gradients overflow.")
    if first and not largest.any():
        raise UserError("All scores are zero, so that no weight is better than another: does a layer start at zero? "
                        "Magnitude and random pruning work here.")


Saliency = Callable[[nn.Module, dict[str, Tensor], Tensor, Tensor, float, int], Scores]


@dataclass(frozen=True)
class Method:
    """A way to score. `rounds` is the usual number of rounds of an iterative method and 1 of a one-shot method."""

    description: str
    saliency: Saliency
    uses_data: bool = False
    rounds: int = 1

    @property
    def one_shot(self) -> bool:
        """Whether one scoring serves every density."""
        return self.rounds == 1


METHODS = {
    "snip": Method("|weight x gradient| on a batch (SNIP)", _connection_sensitivity, uses_data=True),
    "iterative-snip": Method("SNIP in rounds, each on what the last one kept", _connection_sensitivity,
                             uses_data=True, rounds=20),
    "synflow": Method("Synaptic flow in rounds: no data", _synaptic_flow, rounds=100),
    "magnitude": Method("|weight| at the start", _magnitude),
    "random": Method("A lottery, as the baseline to beat", _random),
}
