"""Weight sharing: the weights of a layer take the few values of a codebook, chosen by k-means.

Han et al., "Deep Compression" (arXiv:1510.00149), section 3, eq. 2.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import ceil, log2

import torch
from torch import Tensor, nn

from core.compress.clustering.lloyd import INIT_METHODS, SortedWeights, cells_of, cluster
from core.compress.quantization.weights import check_names, finite_values, quantizable_weights
from core.errors import UserError

_MOST_CLUSTERS = 256
_SAMPLE = 4096
"""Weights that tell quickly whether a weight has many distinct values."""


@dataclass(frozen=True, eq=False)
class Codebook:
    """A weight as indices into a short table of values, the centroids.

    centroids: (k,) float32, ascending. k is at most the number of clusters that was chosen, and
    smaller for a weight with fewer distinct values.
    indices: uint8 in the weight's shape, each below k, and 0 where `mask` is False.
    mask: bool in the weight's shape, False where the weight is a pinned zero, or None without
    pinned zeros. No centroid stands for pinned zeros, so "5 clusters" are five centroids, and zero
    where weights were pruned.
    """

    centroids: Tensor
    indices: Tensor
    mask: Tensor | None = None

    def decode(self) -> Tensor:
        """The shared weight, float32: each index's centroid, and exactly 0.0 at pinned zeros."""
        table = self.centroids
        if not table.numel():
            table = self.centroids.new_zeros(1)
        values = table.index_select(0, self.indices.flatten().int()).view(self.indices.shape)
        if self.mask is None:
            return values
        return values.masked_fill_(~self.mask, 0.0)

    @property
    def bits(self) -> int:
        """Whole bits of an index of fixed length. A pinned zero counts as one more value."""
        values = self.centroids.numel()
        if self.mask is not None:
            values += 1
        return ceil(log2(values)) if values > 1 else 0

    def counts(self) -> Tensor:
        """The number of weights of each centroid, (k,) int64; pinned zeros belong to none."""
        indices = self.indices.flatten() if self.mask is None else self.indices[self.mask]
        return torch.bincount(indices.int(), minlength=self.centroids.numel())


def share_weights(
    weight: Tensor,
    clusters: int,
    keep_zeros: bool = True,
    init: str = "linear",
    seed: int = 0,
    name: str = "weight",
    importance: Tensor | None = None,
) -> Codebook:
    """Cluster the weights by k-means in one dimension, and share one value in each cluster.

    clusters: the number of centroids, 2 to 256. A weight with fewer distinct values gets exactly
    those, and loses nothing.
    keep_zeros: cluster the nonzero weights only and pin zeros at 0.0, so that a pruned weight stays
    pruned.
    init: how the first centroids are chosen, one of `INIT_METHODS`. "linear" spaces them evenly
    over the range, "density" evenly in rank, "kmeans++" draws them by `seed`, and "optimal" begins
    with the global optimum, see `core.compress.clustering.optimal`.
    importance: the factor of each weight's squared error, above 0, in the weight's shape. If not
    given, all errors count the same.

    A cluster that becomes empty moves to the weight that is farthest from its centroid, as in
    scikit-learn. k-means then runs a second time, from a roughly optimal codebook, and the better
    result is kept. So from the same start, the sum of squared errors is at most that of
    scikit-learn.

    Computed on the weight's device in float64, or on the CPU for MPS, which has no float64. Raises
    UserError, by `name`, for values that are not finite, and for clusters or init out of range. Han
    et al. (arXiv:1510.00149), eq. 2.
    """
    _check_arguments(clusters, init)
    values = finite_values(weight, name)
    if importance is not None:
        importance = importance.to(values.device)
    mask = values != 0
    if not keep_zeros or bool(mask.all()):
        centroids, indices = cluster(values, clusters, init, seed, importance)
        return Codebook(centroids, indices)
    indices = torch.zeros_like(values, dtype=torch.uint8)
    if not mask.any():
        return Codebook(values.new_empty(0), indices, mask)
    if importance is not None:
        importance = importance[mask]
    centroids, indices[mask] = cluster(values[mask], clusters, init, seed, importance)
    return Codebook(centroids, indices, mask)


def share_model(
    model: nn.Module,
    clusters: int = 5,
    keep_zeros: bool = True,
    init: str = "linear",
    seed: int = 0,
    layers: Mapping[str, int] | None = None,
    skip: Collection[str] = (),
    batchnorm: bool = False,
) -> dict[str, Codebook]:
    """Make a codebook for each prunable weight, by parameter name; the model is not changed.

    layers: clusters of single weights, by parameter name, instead of `clusters`. skip: names of
    weights to leave out.
    batchnorm: share the BatchNorm weights, too. They are few, one per channel, and each one scales
    a whole feature map: sharing them saves almost nothing and costs accuracy.

    Raises UserError for a name that the model does not have, and as `share_weights` does.
    """
    layers = layers or {}
    weights = quantizable_weights(model, batchnorm)
    check_names([*layers, *skip], weights)
    return {
        name: share_weights(weight, layers.get(name, clusters), keep_zeros, init, seed, name)
        for name, weight in weights.items()
        if name not in skip
    }


def exact_codebook(weight: Tensor) -> Codebook | None:
    """The codebook of a float32 tensor that has at most 256 distinct nonzero values, on the CPU.

    It decodes to the tensor bit for bit. Returns None for any other tensor, also for one with a
    negative zero or a subnormal number, which no codebook keeps in every process.
    """
    values = weight.detach().cpu().contiguous()
    if values.dtype != torch.float32 or not values.numel():
        return None
    sample = values.flatten()[:: 1 + values.numel() // _SAMPLE]
    if torch.unique(sample).numel() > _MOST_CLUSTERS + 1:  # zero may be one more value
        return None
    bits = values.view(torch.int32)
    is_zero = bits == 0
    # Negative zeros and subnormal numbers, which a process may treat as zeros.
    is_almost_zero = (bits & 0x7FFFFFFF) < 0x00800000
    if not values.isfinite().all() or (is_almost_zero & ~is_zero).any():
        return None
    is_nonzero = ~is_zero
    mask = is_nonzero if bool(is_zero.any()) else None
    indices = torch.zeros_like(values, dtype=torch.uint8)
    nonzero = values[is_nonzero]
    if not nonzero.numel():
        return Codebook(nonzero, indices, mask)
    centroids = SortedWeights.of(nonzero).distinct_values(_MOST_CLUSTERS)
    if centroids is None:
        return None
    indices[is_nonzero] = cells_of(nonzero, centroids[:-1])
    return Codebook(centroids, indices, mask)


def _check_arguments(clusters: int, init: str) -> None:
    if not 2 <= clusters <= _MOST_CLUSTERS:
        raise UserError(f"clusters must be in [2, 256], got {clusters}")
    if init not in INIT_METHODS:
        raise UserError(f"init must be one of {', '.join(INIT_METHODS)}, got {init}")
