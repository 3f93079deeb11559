"""The levels of a quantized layer: the few values that its weights have, and how many have each."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from core.inspect.distributions import ordered, summary
from core.inspect.weights import read

if TYPE_CHECKING:
    from torch import Tensor

    from core.compress.affine import Affine
    from core.compress.kmeans import Codebook

_MOST = 256


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


def packed_levels(path: Path) -> dict[str, Levels]:
    """The levels of every layer that the packed file at `path` keeps as a codebook or as a grid."""
    from core.compress import codec

    found = {name: _levels(item) for name, item in codec.load(path).tensors.items()}
    return {name: item for name, item in found.items() if item is not None}


def own_levels(path: Path, layer: str) -> Levels | None:
    """The levels of a float layer with at most 256 distinct values beside 0; None for any other."""
    (values,) = read(path, [layer])
    found = ordered(values, layer)
    if found.nonzero.unique > _MOST:
        return None
    distinct, counts = found.nonzero.distinct()
    return Levels("values", distinct.astype(np.float64), counts, values.size - counts.sum(), summary(found).bits)


def _levels(item: "Tensor | Codebook | Affine") -> Levels | None:
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


def _grid(item: "Affine", bits: float) -> Levels:
    lowest = 1 - 2 ** (item.bits - 1) if item.symmetric else 0
    steps = np.arange(lowest, lowest + 2**item.bits - item.symmetric)
    counts = np.bincount(item.values.numpy().ravel().astype(np.int64) - lowest, minlength=len(steps))
    if item.axis is not None:
        return Levels("channels", steps.astype(np.float64), counts, 0, bits)
    values = (steps - item.zero_point.item()).astype(np.float32) * item.scale.numpy()
    return Levels("grid", values.astype(np.float64), counts, 0, bits)
