"""The weights of saved models: of one layer or of the whole network, of one model or of two beside each other.

Layers go by their parameter's name; the whole network, "", is all its prunable weights. Only what is asked for is read
from the file.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from core.errors import UserError
from core.inspect.distributions import Drawn, Ordered, Summary, difference, drawn, ordered, summary
from core.models import saved, skeleton

WHOLE = ""
_MOST_LEVELS = 256


@dataclass(frozen=True)
class Layer:
    """A weight's name and shape, and what is in it; None if it holds values that are not finite."""

    name: str
    shape: tuple[int, ...]
    summary: Summary | None


@dataclass(frozen=True, eq=False)
class Levels:
    """The few values of a layer, and how many weights carry each.

    kind: "codebook" for centroids, "grid" for evenly spaced values, "channels" for the integers of a grid that every
        output channel scales by itself, "values" for a float layer that has no more distinct values than a codebook.
    values: (k,) float64, ascending. counts: (k,) int64, 0 for a level that no weight takes.
    pinned: weights that are exactly 0 beside these values, such as pruned ones. bits: of the packed file, a weight.
    """

    kind: Literal["codebook", "grid", "channels", "values"]
    values: np.ndarray
    counts: np.ndarray
    pinned: int
    bits: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """Distributions of the first and the second model, None where a model lacks the layer, and of second - first.

    why: without an error, what stands in its way, in a sentence.
    """

    models: tuple[Drawn | None, ...]
    error: Drawn | None
    why: str


def layers(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the prunable weights in the saved model at `path`, in the network's order; none of them is read."""
    facts = saved.read_facts(path)
    return _shapes(facts.model, len(facts.classes))


@lru_cache(maxsize=16)
def _shapes(model: str, classes: int) -> dict[str, tuple[int, ...]]:
    from core.models.parameters import prunable

    return {name: tuple(weight.shape) for name, weight in prunable(skeleton(model, classes)).items()}


def read(path: Path, names: Sequence[str]) -> Iterator[np.ndarray]:
    """These weights, one after the other, float32 and flat. Raises UserError for a file that does not hold them."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            for name in names:
                yield file.get_tensor(name).astype(np.float32, copy=False).ravel()
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged or gone ({error}).") from error


def table(path: Path) -> list[Layer]:
    """Every layer of a saved model, the whole network first."""
    shapes = layers(path)
    each = [Layer(name, shape, _summary(name, [values]))
            for (name, shape), values in zip(shapes.items(), read(path, list(shapes)), strict=True)]
    return [Layer(WHOLE, (), _summary("The network", read(path, list(shapes)))), *each]


def ratios(first: Path, second: Path) -> dict[str, float]:
    """Signal-to-noise ratio in decibels of the second model's layers, the first model's taken for the signal.

    Only of layers that both have, in the same shape; of the whole network, "", only if that is all of them.
    """
    from core.compress.distortion import inertia

    shapes, others = layers(first), layers(second)
    common = [name for name in shapes if shapes[name] == others.get(name)]
    energies = {}
    for name, *pair in zip(common, read(first, common), read(second, common), strict=True):
        one, other = (_tensor(values) for values in pair)
        energies[name] = np.array([inertia(one, one.new_zeros(1)), inertia(one, other)])
    if shapes == others:
        energies[WHOLE] = sum(energies.values())
    return {name: _decibels(*energy) for name, energy in energies.items()}


def compare(first: Path, second: Path | None, layer: str, most: int, bins: int, error_bins: int) -> Comparison:
    """One layer, or with "" the whole network, of a model or of two.

    most: marks of each distribution. bins, error_bins: of the histograms where values do not repeat.
    Raises UserError for values that are not finite, and for a layer that no model has.
    """
    paths = [path for path in (first, second) if path]
    shapes = [layers(path) for path in paths]
    values = [_values(path, layer, known) for path, known in zip(paths, shapes, strict=True)]
    if all(found is None for found in values):
        raise UserError(f"There is no layer {layer!r} in {'these models' if second else 'this model'}.")
    found = iter(drawn([_ordered(parts) for parts in values if parts], most, bins))
    models = tuple(next(found) if parts else None for parts in values)
    if why := _obstacle(shapes, layer) if second else "There is only one model.":
        return Comparison(models, None, why)
    error = difference(*(np.concatenate(list(parts.values())) for parts in values))
    return Comparison(models, drawn([error], most, error_bins)[0], "")


def levels(packed: Path) -> dict[str, Levels]:
    """The levels of every layer that the packed file at `packed` keeps as a codebook or as a grid."""
    from core.compress import codec

    found = {name: _levels(item) for name, item in codec.load(packed).tensors.items()}
    return {name: item for name, item in found.items() if item is not None}


def own_levels(path: Path, layer: str) -> Levels | None:
    """The levels of a float layer with at most 256 distinct values beside 0; None for any other."""
    (values,) = read(path, [layer])
    found = ordered(values, layer)
    if found.nonzero.unique > _MOST_LEVELS:
        return None
    distinct, counts = found.nonzero.distinct()
    return Levels("values", distinct.astype(np.float64), counts, values.size - counts.sum(), summary(found).bits)


def _summary(name: str, parts: Sequence[np.ndarray] | Iterator[np.ndarray]) -> Summary | None:
    try:
        return summary(ordered(np.concatenate(list(parts)), name))
    except UserError:  # the picture says what is wrong with it
        return None


def _values(path: Path, layer: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray] | None:
    """One layer or all of them, by name; None if there is no such layer."""
    names = [layer] if layer else list(shapes)
    return dict(zip(names, read(path, names), strict=True)) if layer in shapes or not layer else None


def _ordered(parts: dict[str, np.ndarray]) -> Ordered:
    """All of the layers. Raises UserError by the name of the layer that is not finite."""
    try:
        return ordered(np.concatenate(list(parts.values())), "The network")
    except UserError:
        for name, values in parts.items():
            ordered(values, name)
        raise


def _obstacle(shapes: list[dict[str, tuple[int, ...]]], layer: str) -> str:
    """Why the weights of two models cannot be subtracted, or nothing."""
    if not layer:
        return "" if shapes[0] == shapes[1] else (
            "The two networks have different layers: choose one that both have, in the same shape.")
    one, other = (known.get(layer) for known in shapes)
    if one == other:
        return ""
    if one is None or other is None:
        return f"Only one of the two networks has a layer {layer}."
    return f"{layer} has different shapes: {_size(one)} in A, {_size(other)} in B."


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def _levels(item) -> Levels | None:
    """Of a packed tensor; None for one that is neither codebook nor grid."""
    from core.compress.affine import Affine
    from core.compress.kmeans import Codebook
    from core.compress.layout import coded_bytes

    if isinstance(item, Codebook):
        bits = 8 * coded_bytes(item) / item.indices.numel()
        counts = item.counts().numpy()
        return Levels("codebook", item.centroids.double().numpy(), counts, item.indices.numel() - counts.sum(), bits)
    if isinstance(item, Affine):
        return _grid(item, 8 * coded_bytes(item) / item.values.numel())
    return None


def _grid(item, bits: float) -> Levels:
    lowest = 1 - 2 ** (item.bits - 1) if item.symmetric else 0
    steps = np.arange(lowest, lowest + 2**item.bits - item.symmetric)
    counts = np.bincount(item.values.numpy().ravel().astype(np.int64) - lowest, minlength=len(steps))
    if item.axis is not None:
        return Levels("channels", steps.astype(np.float64), counts, 0, bits)
    values = (steps - item.zero_point.item()).astype(np.float32) * item.scale.numpy()
    return Levels("grid", values.astype(np.float64), counts, 0, bits)


def _tensor(values: np.ndarray):
    import torch

    return torch.from_numpy(values)


def _decibels(signal: float, noise: float) -> float:
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf
