"""Estimates how much each weight matters to the predictions of a network, from its gradients."""

from collections.abc import Generator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import UserError
from core.events import Progress

_BATCH = 8  # images whose gradients are summed before they are squared

_LEAST_SHARE = 0.01
"""The least information of a weight, as a share of its layer's mean. So every weight counts."""


def fisher_information(
    network: nn.Module, names: Sequence[str], batches: Sequence[Tensor], seed: int
) -> Generator[Progress, None, dict[str, Tensor]]:
    """Return the diagonal Fisher information of these weights, in their shapes, by name.

    It is at least 1% of its mean over the weight, and 1 for a weight without any.

    It is the mean over images of the squared gradient of log p(label), with a label that is drawn
    from the network's own prediction p. So no true label is needed. Such gradients have mean 0, and
    those of two images are independent: the square of their sum is on average the sum of their
    squares. So 8 images are taken at once.

    network: in evaluation mode; it is not changed. batches: normalised training images on its
    device. seed: of the drawn labels. Yields Progress in images. Raises UserError for predictions
    that are not finite.

    Kim et al., "SqueezeLLM" (arXiv:2306.07629), section 4.1, weights the errors of k-means so.
    """
    weights = [network.get_parameter(name) for name in names]
    sums = [torch.zeros_like(weight) for weight in weights]
    generator = torch.Generator().manual_seed(seed)
    images = sum(len(batch) for batch in batches)
    done = 0
    for batch in batches:
        yield Progress("Fisher information", done, images, "images")
        for part in torch.split(batch, _BATCH):
            _add_squares_(sums, network, weights, part, generator)
        done += len(batch)
    return {name: _lifted(total / images) for name, total in zip(names, sums, strict=True)}


def _lifted(information: Tensor) -> Tensor:
    least = _LEAST_SHARE * information.mean()
    return information.clamp(min=least) if least > 0 else torch.ones_like(information)


def _add_squares_(
    sums: list[Tensor],
    network: nn.Module,
    weights: list[nn.Parameter],
    images: Tensor,
    generator: torch.Generator,
) -> None:
    with torch.enable_grad():
        log_probabilities = F.log_softmax(network(images).float(), 1)
        probabilities = log_probabilities.detach().exp().cpu()
        if not bool(probabilities.isfinite().all()):
            raise UserError(
                "The network's predictions on training images are not finite, so there is no Fisher"
                " information; choose another start of the clustering."
            )
        labels = torch.multinomial(probabilities, 1, generator=generator)
        likelihood = log_probabilities.gather(1, labels.to(images.device)).sum()
        gradients = torch.autograd.grad(likelihood, weights, allow_unused=True)
    for total, gradient in zip(sums, gradients, strict=True):
        if gradient is not None:
            total += gradient.square()
