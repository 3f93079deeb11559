"""The two ways to train a codebook, as torch parametrizations.

`TrainedCentroids`: the centroids are the parameters. The assignments stay, and the gradient of a
centroid is the sum over its cluster (Han et al., "Deep Compression", arXiv:1510.00149, section 3,
eq. 3).

`LatentWeights`: latent float weights are the parameters. The forward pass uses the centroid nearest
to each, and the gradient passes straight through (Bengio et al., arXiv:1308.3432). The centroids
follow as the means of their clusters, so weights may change cluster.
"""

from typing import Any

import torch
from torch import Tensor, nn

from core.compress.kmeans import Codebook


class TrainedCentroids(nn.Module):
    """Computes the weight from the centroids (k,). Index k stands for a pinned zero."""

    indices: Tensor

    def __init__(self, codebook: Codebook):
        super().__init__()
        self._shape = codebook.indices.shape
        self._start = codebook.centroids
        indices = codebook.indices.int()
        if codebook.mask is not None:
            indices = indices.masked_fill(~codebook.mask, codebook.centroids.numel())
        self.register_buffer("indices", indices.flatten())

    def forward(self, centroids: Tensor) -> Tensor:
        values: Tensor = _Lookup.apply(centroids, self.indices)
        return values.view(self._shape)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The parameter to train: the centroids, in the type and on the device of the weight."""
        return self._start.to(weight, copy=True)

    def codebook(self, centroids: Tensor) -> Codebook:
        indices = self.indices.view(self._shape)
        kept = indices < centroids.numel()
        mask = None if bool(kept.all()) else kept
        return _tidy_codebook(centroids, indices.masked_fill(~kept, 0), mask)


class _Lookup(torch.autograd.Function):
    """centroids[indices], with 0.0 as one more centroid. Backward sums each cluster's gradient."""

    @staticmethod
    def forward(ctx: Any, centroids: Tensor, indices: Tensor) -> Tensor:
        ctx.save_for_backward(indices)
        ctx.clusters = centroids.numel()
        table = torch.cat([centroids, centroids.new_zeros(1)])
        return table.index_select(0, indices)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        (indices,) = ctx.saved_tensors
        sums = gradient.new_zeros(ctx.clusters + 1).index_add_(0, indices, gradient)
        return sums[:-1], None


class LatentWeights(nn.Module):
    """Computes the weight from latent weights: the centroid nearest to each."""

    centroids: Tensor
    mask: Tensor | None

    def __init__(self, codebook: Codebook):
        super().__init__()
        self.register_buffer("centroids", codebook.centroids.clone())
        self.register_buffer("mask", codebook.mask)

    def forward(self, latent: Tensor) -> Tensor:
        weight: Tensor = _StraightThrough.apply(latent, self.centroids, self.mask)
        return weight

    def refit_(self, latent: Tensor) -> None:
        clusters = self.centroids.numel()
        if not clusters:
            return
        values = latent.flatten() if self.mask is None else latent[self.mask]
        indices = _nearest(values, self.centroids)
        sum_type = torch.float32 if values.device.type == "mps" else torch.float64
        sums = torch.zeros_like(self.centroids, dtype=sum_type)
        sums.index_add_(0, indices, values.to(sum_type))
        counts = torch.bincount(indices, minlength=clusters)
        self.centroids.copy_(torch.where(counts > 0, sums / counts, self.centroids))

    def codebook(self, latent: Tensor) -> Codebook:
        indices = _nearest(latent.flatten(), self.centroids).view(latent.shape)
        if self.mask is not None:
            indices = indices.masked_fill(~self.mask, 0)
        return _tidy_codebook(self.centroids, indices, self.mask)


class _StraightThrough(torch.autograd.Function):
    """The nearest centroid of each latent weight.

    Backward passes the gradient on unchanged, except at pinned zeros, where it is 0.
    """

    @staticmethod
    def forward(ctx: Any, latent: Tensor, centroids: Tensor, mask: Tensor | None) -> Tensor:
        ctx.save_for_backward(mask)
        if not centroids.numel():
            return torch.zeros_like(latent)
        indices = _nearest(latent.flatten(), centroids)
        weight = centroids.index_select(0, indices).view(latent.shape)
        return weight if mask is None else weight.masked_fill_(~mask, 0.0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        (mask,) = ctx.saved_tensors
        if mask is not None:
            gradient = gradient.masked_fill(~mask, 0.0)
        return gradient, None, None


def _nearest(values: Tensor, centroids: Tensor) -> Tensor:
    """The index (int32) of the nearest of the ascending centroids."""
    midpoints = (centroids[1:] + centroids[:-1]) / 2
    return torch.bucketize(values, midpoints, out_int32=True)


def _tidy_codebook(centroids: Tensor, indices: Tensor, mask: Tensor | None) -> Codebook:
    """A valid codebook of trained centroids: ascending, each one once, and each one used."""
    if not centroids.numel():
        return Codebook(centroids, indices.to(torch.uint8), mask)
    table, sorted_index = torch.unique(centroids.float(), return_inverse=True)
    indices = sorted_index[indices.long()]
    used_indices = indices.flatten() if mask is None else indices[mask]
    is_used = torch.bincount(used_indices, minlength=table.numel()) > 0
    new_index = (is_used.cumsum(0) - 1).clamp_(min=0)
    indices = new_index[indices]
    if mask is not None:
        indices = indices.masked_fill_(~mask, 0)
    return Codebook(table[is_used], indices.to(torch.uint8), mask)
