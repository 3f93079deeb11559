"""Counts the weights on each level of a quantized layer."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from core.inspect.weights.histogram import sort_finite, summarise_weights
from core.models.saved import read_weights

if TYPE_CHECKING:
    from torch import Tensor

    from core.compress.affine import Affine
    from core.compress.kmeans import Codebook

_LARGEST_CODEBOOK = 256

LevelKind = Literal["codebook", "affine", "affine per channel", "distinct values"]
"""The kinds of levels that a layer can have.

codebook: the centroids of k-means.
affine: evenly spaced values.
affine per channel: integers, which each output channel multiplies by its own scale.
distinct values: the values of a float layer that has no more of them than a codebook.
"""


@dataclass(frozen=True, eq=False)
class LayerLevels:
    """The levels of a quantized layer, and the number of weights on each.

    values: (k,) float64, ascending.
    counts: (k,) int64; 0 for a level without weights.
    extra_zeros: the number of weights that are exactly 0 and on none of the levels, such as pruned
        ones.
    bits_per_weight: the size of the layer in the packed file.
    """

    kind: LevelKind
    values: np.ndarray
    counts: np.ndarray
    extra_zeros: int
    bits_per_weight: float

    @property
    def used(self) -> int:
        """The number of levels that have weights."""
        return int(np.count_nonzero(self.counts))


def packed_levels(path: Path) -> dict[str, LayerLevels]:
    """Return the levels of every layer that the packed file at `path` stores quantized."""
    from core.compress import codec

    levels = {}
    for name, item in codec.load(path).tensors.items():
        item_levels = _levels(item)
        if item_levels is not None:
            levels[name] = item_levels
    return levels


def float_levels(path: Path, layer: str) -> LayerLevels | None:
    """Return the distinct values of a layer of the saved model at `path`.

    Returns None for a layer that has more than 256 of them, zero not counted. Raises UserError for
    weights that are not finite.
    """
    (values,) = read_weights(path, [layer])
    weights = sort_finite(values, layer)
    if weights.nonzero.unique > _LARGEST_CODEBOOK:
        return None
    distinct, counts = weights.nonzero.value_counts()
    return LayerLevels(
        kind="distinct values",
        values=distinct.astype(np.float64),
        counts=counts,
        extra_zeros=int(values.size - counts.sum()),
        bits_per_weight=summarise_weights(weights).bits_per_weight,
    )


def _levels(item: "Tensor | Codebook | Affine") -> LayerLevels | None:
    """Return the levels of a packed tensor, or None for one that is not quantized."""
    from core.compress.affine import Affine
    from core.compress.kmeans import Codebook

    if isinstance(item, Codebook):
        return _codebook_levels(item)
    if isinstance(item, Affine):
        return _affine_levels(item)
    return None


def _codebook_levels(codebook: "Codebook") -> LayerLevels:
    from core.compress.packed.writer import coded_bytes

    weights = codebook.indices.numel()
    counts = codebook.counts().numpy()
    return LayerLevels(
        kind="codebook",
        values=codebook.centroids.double().numpy(),
        counts=counts,
        extra_zeros=int(weights - counts.sum()),
        bits_per_weight=8 * coded_bytes(codebook) / weights,
    )


def _affine_levels(affine: "Affine") -> LayerLevels:
    from core.compress.packed.writer import coded_bytes

    integers = _integers(affine)
    stored = affine.values.numpy().ravel().astype(np.int64)
    counts = np.bincount(stored - integers[0], minlength=len(integers))
    bits_per_weight = 8 * coded_bytes(affine) / affine.values.numel()
    if affine.axis is not None:
        values = integers.astype(np.float64)
        return LayerLevels("affine per channel", values, counts, 0, bits_per_weight)
    offsets = (integers - affine.zero_point.item()).astype(np.float32)
    values = (offsets * affine.scale.numpy()).astype(np.float64)
    return LayerLevels("affine", values, counts, 0, bits_per_weight)


def _integers(affine: "Affine") -> np.ndarray:
    """Return all integers that the quantizer may store, ascending, as int64."""
    if affine.symmetric:
        greatest = 2 ** (affine.bits - 1) - 1
        return np.arange(-greatest, greatest + 1)
    return np.arange(2**affine.bits)
