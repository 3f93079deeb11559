"""The weights of saved models: of one layer or of the whole network, of one model or of two beside each other.

Layers go by their parameter's name; the whole network, "", is all its prunable weights. Only what is asked for is read
from the file.
"""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from core.errors import UserError
from core.inspect.distributions import Drawn, Ordered, Summary, difference, drawn, ordered, summary
from core.models import saved, skeleton

WHOLE = ""


@dataclass(frozen=True)
class Layer:
    """A weight's name and shape, and what is in it; None if it holds values that are not finite."""

    name: str
    shape: tuple[int, ...]
    summary: Summary | None


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
    why = _obstacle(shapes, layer) if second else "There is only one model."
    with ThreadPoolExecutor(3) as pool:  # numpy sorts without the interpreter's lock
        error = None if why else pool.submit(_difference, *values)
        found = iter(drawn(list(pool.map(_ordered, filter(None, values))), most, bins))
    models = tuple(next(found) if parts else None for parts in values)
    return Comparison(models, None if why else drawn([error.result()], most, error_bins)[0], why)


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


def _difference(*models: dict[str, np.ndarray]) -> Ordered:
    return difference(*(np.concatenate(list(parts.values())) for parts in models))


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


def _tensor(values: np.ndarray):
    import torch

    return torch.from_numpy(values)


def _decibels(signal: float, noise: float) -> float:
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf
