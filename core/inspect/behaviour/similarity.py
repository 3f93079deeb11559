"""Finds the layer at which the activations of two networks part.

The similarity is the cosine, which does not change if a network scales all values of a layer.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from core.errors import UserError


def layer_similarities(
    first: Mapping[str, Tensor], second: Mapping[str, Tensor]
) -> dict[str, float]:
    """Return the cosine similarity of each layer of two networks, in [-1, 1], in the first's order.

    first, second: the activations of the same N images by layer, (N, ...) each, as
        `core.inspect.activations.capture` returns them. Layers that only one of them has, or in
        another shape, are left out.

    It is the mean over the images of the cosine between the two outputs for an image. Two outputs
    that are zero everywhere have the cosine 1; if only one of them is, it is 0. Raises UserError if
    no layer is left.
    """
    common = comparable_layers(first, second)
    if not common:
        raise UserError(
            "The two networks have no layer of the same name and shape, so their activations cannot"
            " be compared: choose two versions of one network."
        )
    return {name: _mean_cosine(first[name], second[name]) for name in common}


def comparable_layers(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> list[str]:
    """Return the layers that both networks have in the same shape, in the first's order."""
    return [name for name in first if name in second and second[name].shape == first[name].shape]


def first_parting_layer(similarities: Mapping[str, float], threshold: float) -> str | None:
    """Return the first layer whose similarity is below the threshold, or NaN; None if none is.

    threshold: a cosine, in [-1, 1].
    """
    parted = (name for name, similarity in similarities.items() if not similarity >= threshold)
    return next(parted, None)


def _mean_cosine(first: Tensor, second: Tensor) -> float:
    """Return the mean over the images of the cosine of two outputs (N, ...), computed in float64.

    Both are scaled to a maximum of 1 first, so that tiny values do not vanish in their squares.
    """
    first_rows = _scaled_rows(first)
    second_rows = _scaled_rows(second)
    products = (first_rows * second_rows).sum(1)
    lengths = first_rows.norm(dim=1) * second_rows.norm(dim=1)
    both_are_zero = ~first_rows.any(1) & ~second_rows.any(1)
    cosines = torch.where(lengths == 0, both_are_zero.double(), products / lengths)
    return cosines.clamp(-1, 1).mean().item()


def _scaled_rows(output: Tensor) -> Tensor:
    """Return an output (N, ...) as rows (N, values), each divided by its largest |value|.

    They are float64 on the CPU, because not every device has that type.
    """
    rows = output.reshape(len(output), -1).cpu().double()
    largest = rows.abs().amax(1, keepdim=True)
    return rows / torch.where(largest == 0, 1, largest)
