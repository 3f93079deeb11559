"""Summarises the weights of saved models, and compares those of two models.

Layers go by the names of their parameters. The whole network, "", is all its prunable weights.
Only the layers that are needed are read from a file.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.compress.distortion import decibels, energy, squared_error
from core.errors import UserError
from core.inspect.weights.histogram import (
    Distribution,
    SortedValues,
    WeightSummary,
    prepare_distributions,
    sort_finite,
    sorted_difference,
    summarise_weights,
)
from core.models.saved import layer_shapes, read_card, read_weights

if TYPE_CHECKING:
    from torch import Tensor

WHOLE_NETWORK = ""
"""Stands for all layers where the name of a layer is expected."""

_Shapes = dict[str, tuple[int, ...]]
_Weights = dict[str, np.ndarray]


@dataclass(frozen=True)
class LayerSummary:
    """A layer and the summary of its weights.

    summary: None if some of the weights are not finite.
    """

    name: str
    shape: tuple[int, ...]
    summary: WeightSummary | None


@dataclass(frozen=True, eq=False)
class WeightComparison:
    """The weights of one model or of two models.

    distributions: one for each model; None for a model without the layer.
    difference: the distribution of second - first, or None.
    reason: why there is no difference, as a sentence; empty if there is one.
    """

    distributions: tuple[Distribution | None, ...]
    difference: Distribution | None
    reason: str


def summarise_layers(path: Path) -> list[LayerSummary]:
    """Summarise every layer of the saved model at `path`, the whole network first."""
    shapes = _shapes(path)
    names = list(shapes)
    whole = LayerSummary(
        WHOLE_NETWORK, (), _summary_if_finite(read_weights(path, names), "The network")
    )
    layers = []
    for name, values in zip(names, read_weights(path, names), strict=True):
        layers.append(LayerSummary(name, shapes[name], _summary_if_finite([values], name)))
    return [whole, *layers]


def layer_snrs(first: Path, second: Path) -> dict[str, float]:
    """Return the signal-to-noise ratio in decibels of each layer of the second model.

    The weights of the first model are the signal, their change in the second is the noise. Only
    layers that both models have in the same shape are compared. The whole network, "", is included
    if that holds for all layers.
    """
    first_shapes = _shapes(first)
    second_shapes = _shapes(second)
    common = [name for name, shape in first_shapes.items() if second_shapes.get(name) == shape]
    signals: dict[str, float] = {}
    noises: dict[str, float] = {}
    pairs = zip(common, read_weights(first, common), read_weights(second, common), strict=True)
    for name, first_values, second_values in pairs:
        weight = _tensor(first_values)
        signals[name] = energy(weight)
        noises[name] = squared_error(weight, _tensor(second_values))
    if first_shapes == second_shapes:
        signals[WHOLE_NETWORK] = sum(signals.values())
        noises[WHOLE_NETWORK] = sum(noises.values())
    return {name: decibels(signal, noises[name]) for name, signal in signals.items()}


def compare_weights(
    first: Path, second: Path | None, layer: str, most: int, bins: int, error_bins: int
) -> WeightComparison:
    """Count the weights of one layer, or of the whole network with "", in one model or in two.

    most: bins of each distribution. bins, error_bins: bins of the histograms of the weights and of
    their difference, where values do not repeat. Raises UserError for weights that are not finite,
    and for a layer that no model has.
    """
    paths = [first] if second is None else [first, second]
    shapes = [_shapes(path) for path in paths]
    weights = [_read(path, layer, each) for path, each in zip(paths, shapes, strict=True)]
    present = [layers for layers in weights if layers is not None]
    if not present:
        place = "this model" if second is None else "these models"
        raise UserError(f"There is no layer {layer!r} in {place}.")
    reason = _no_difference_reason(shapes, layer)
    with ThreadPoolExecutor(3) as pool:  # numpy sorts without the interpreter's lock
        sorting = None if reason else pool.submit(_sorted_difference, *present)
        distributions = prepare_distributions(list(pool.map(_sorted, present)), most, bins)
    difference = None
    if sorting is not None:
        (difference,) = prepare_distributions([sorting.result()], most, error_bins)
    remaining = iter(distributions)
    by_model = tuple(None if layers is None else next(remaining) for layers in weights)
    return WeightComparison(by_model, difference, reason)


def _shapes(path: Path) -> _Shapes:
    """Return the shapes of the layers of the saved model at `path`, without reading any of them."""
    return layer_shapes(read_card(path))


def _summary_if_finite(parts: Iterable[np.ndarray], name: str) -> WeightSummary | None:
    """Summarise all parts as one; None if there are no weights or some are not finite.

    The reason is not told here: comparing the layer raises it.
    """
    try:
        return summarise_weights(sort_finite(np.concatenate(list(parts)), name))
    except UserError:
        return None


def _read(path: Path, layer: str, shapes: _Shapes) -> _Weights | None:
    """Read one layer or all of them, by name; None if there is no such layer."""
    if layer == WHOLE_NETWORK:
        names = list(shapes)
    elif layer in shapes:
        names = [layer]
    else:
        return None
    return dict(zip(names, read_weights(path, names), strict=True))


def _sorted(layers: _Weights) -> SortedValues:
    """Sort the weights of all layers together.

    Raises UserError, with the name of the layer, for weights that are not finite.
    """
    try:
        return sort_finite(np.concatenate(list(layers.values())), "The network")
    except UserError:
        for name, values in layers.items():
            sort_finite(values, name)
        raise


def _sorted_difference(first: _Weights, second: _Weights) -> SortedValues:
    """Sort second - first of all layers together."""
    first_values = np.concatenate(list(first.values()))
    second_values = np.concatenate(list(second.values()))
    return sorted_difference(first_values, second_values)


def _no_difference_reason(shapes: Sequence[_Shapes], layer: str) -> str:
    """Say why the weights of two models cannot be subtracted; empty if they can."""
    if len(shapes) == 1:
        return "There is only one model."
    first_shapes, second_shapes = shapes
    if layer == WHOLE_NETWORK:
        if first_shapes == second_shapes:
            return ""
        return (
            "The two networks have different layers: choose one that both have, in the same shape."
        )
    first_shape = first_shapes.get(layer)
    second_shape = second_shapes.get(layer)
    if first_shape == second_shape:
        return ""
    if first_shape is None or second_shape is None:
        return f"Only one of the two networks has a layer {layer}."
    return (
        f"{layer} has different shapes: {_in_words(first_shape)} in A,"
        f" {_in_words(second_shape)} in B."
    )


def _in_words(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def _tensor(values: np.ndarray) -> "Tensor":
    import torch  # Here, so that importing this module does not take seconds.

    return torch.from_numpy(values)
