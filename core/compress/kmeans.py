"""Weight sharing: the weights of a layer take the few values of a codebook, found by one-dimensional k-means.

Han et al., "Deep Compression" (arXiv:1510.00149), section 3, eq. 2.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import ceil, log2

import torch
from torch import Tensor, nn

from core.compress.distortion import checked
from core.compress.lloyd import INITS, Line, cells_of, cluster
from core.errors import UserError
from core.models.parameters import prunable


@dataclass(frozen=True, eq=False)
class Codebook:
    """A weight as an index per position into a short table of values.

    centroids: (k,) float32, ascending; k is at most the clusters asked for, fewer where the weight had fewer values.
    indices: the weight's shape, uint8, below k; 0 where `mask` is False.
    mask: the weight's shape, bool, False where the weight is a pinned zero, which no centroid stands for. None if
        there is no pinned zero, so that "5 clusters" are five centroids, and zero where weights were pruned.
    """

    centroids: Tensor
    indices: Tensor
    mask: Tensor | None = None

    def decode(self) -> Tensor:
        """The shared weight, float32: the indexed centroids, and exactly 0.0 at pinned zeros."""
        table = self.centroids if self.centroids.numel() else self.centroids.new_zeros(1)
        values = table.index_select(0, self.indices.flatten().int()).view(self.indices.shape)
        return values if self.mask is None else values.masked_fill_(~self.mask, 0.0)

    @property
    def bits(self) -> int:
        """Whole bits that tell the values apart at a fixed length; a pinned zero counts as one more value."""
        values = self.centroids.numel() + (self.mask is not None)
        return ceil(log2(values)) if values > 1 else 0

    def counts(self) -> Tensor:
        """Weights on each centroid, (k,) int64; pinned zeros belong to none."""
        carried = self.indices.flatten() if self.mask is None else self.indices[self.mask]
        return torch.bincount(carried.int(), minlength=self.centroids.numel())


def share_weights(weight: Tensor, clusters: int, keep_zeros: bool = True, init: str = "linear", seed: int = 0,
                  name: str = "weight") -> Codebook:
    """Cluster the weights and share one value in each cluster: k-means in one dimension, run to its fixed point.

    clusters: centroids, 2 to 256. A weight with fewer distinct values gets exactly those, and loses nothing.
    keep_zeros: fit the nonzero weights only and pin zeros at 0.0, so that a pruned weight stays pruned.
    init: one of `INITS`. "linear" spaces the first centroids evenly over the range, "density" evenly in rank,
        "kmeans++" draws them by `seed`; "optimal" starts from the global optimum, see `core.compress.optimal`.
    A cluster that runs empty moves to the weight that is farthest from its centroid, as in scikit-learn, and k-means
    then also starts from a roughly optimal codebook and keeps the better result: from the same start, the sum of
    squared errors does not end above scikit-learn's.
    Computed where the weight is, in float64 (on the CPU for MPS, which has none).
    Raises UserError, by `name`, for values that are not finite, and for clusters or init out of range.
    """
    _check(clusters, init)
    values = checked(weight, name)
    mask = values != 0 if keep_zeros else None
    if mask is None or bool(mask.all()):
        centroids, indices = cluster(values, clusters, init, seed)
        return Codebook(centroids, indices)
    indices = torch.zeros_like(values, dtype=torch.uint8)
    if not mask.any():
        return Codebook(values.new_empty(0), indices, mask)
    centroids, indices[mask] = cluster(values[mask], clusters, init, seed)
    return Codebook(centroids, indices, mask)


def share_model(model: nn.Module, clusters: int = 5, keep_zeros: bool = True, init: str = "linear", seed: int = 0,
                layers: Mapping[str, int] | None = None, skip: Collection[str] = (),
                batchnorm: bool = False) -> dict[str, Codebook]:
    """A codebook for each prunable weight, by parameter name; the model is not touched.

    layers: clusters of single weights, by parameter name, instead of `clusters`. skip: weights to leave out.
    batchnorm: the BatchNorm weights too. They are few, one a channel, and every one scales a whole feature map, so
        that sharing them saves next to nothing and costs accuracy.
    Raises UserError for a name that the model does not have, and as `share_weights` does.
    """
    layers = layers or {}
    weights = prunable(model) | (batchnorm_weights(model) if batchnorm else {})
    for name in (*layers, *skip):
        if name not in weights:
            raise UserError(f"{name} is not a weight that can be shared; known are {', '.join(weights)}.")
    return {name: share_weights(weight, layers.get(name, clusters), keep_zeros, init, seed, name)
            for name, weight in weights.items() if name not in skip}


def exact_codebook(weight: Tensor) -> Codebook | None:
    """The codebook, on the CPU, that a float32 tensor of at most 256 distinct nonzero values already is.

    It decodes bit for bit; None for any other tensor, also for one with a negative zero.
    """
    values = weight.detach().cpu().contiguous()
    if values.dtype != torch.float32 or not values.numel():
        return None
    sample = values.flatten()[::1 + values.numel() // 4096]
    zeros = values == 0
    if sample.unique().numel() > 257 or not values.isfinite().all() or (zeros & values.signbit()).any():
        return None
    kept = values[~zeros]
    centroids = Line.of(kept).few_values(256) if kept.numel() else kept
    if centroids is None:
        return None
    indices = torch.zeros_like(values, dtype=torch.uint8)
    indices[~zeros] = cells_of(kept, centroids[:-1])
    return Codebook(centroids, indices, ~zeros if bool(zeros.any()) else None)


def batchnorm_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """The learned scale of every BatchNorm, by parameter name."""
    return {f"{name}.weight": module.weight for name, module in model.named_modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.weight is not None}


def _check(clusters: int, init: str) -> None:
    if not 2 <= clusters <= 256:
        raise UserError(f"clusters must be in [2, 256], got {clusters}")
    if init not in INITS:
        raise UserError(f"init must be one of {', '.join(INITS)}, got {init}")
