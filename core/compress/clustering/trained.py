"""The ways to train a weight that has a codebook, as torch parametrizations.

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

    def quantized(self, centroids: Tensor) -> Codebook:
        """The current codebook."""
        indices = self.indices.view(self._shape)
        kept = indices < centroids.numel()
        mask = None if bool(kept.all()) else kept
        return tidy_codebook(centroids, indices.masked_fill(~kept, 0), mask)


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
    """Computes the weight from latent weights: the centroid nearest to each.

    centroids: (k,), ascending. offsets: (k,), by which each lies above the mean of its cluster.
    They are 0 after plain k-means. Compensated rounding moves the centroids away from the means,
    and the Fisher information weights the means.
    """

    centroids: Tensor
    offsets: Tensor
    mask: Tensor | None

    def __init__(self, codebook: Codebook):
        super().__init__()
        self._start = codebook
        self.register_buffer("centroids", codebook.centroids.clone())
        self.register_buffer("offsets", torch.zeros_like(codebook.centroids))
        self.register_buffer("mask", codebook.mask)

    def forward(self, latent: Tensor) -> Tensor:
        weight: Tensor = _StraightThrough.apply(latent, self.centroids, self.mask)
        return weight

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The latent weights to begin with, which decode to the codebook.

        They are the float weights where the codebook's centroids are nearest to those. After
        compensated rounding some are not. Then each latent weight is half-way from the centroid to
        the float weight, or to the border of the centroid's cell if that is closer. On LeNet-5 and
        ResNet-20 this was better than to begin at the centroids or at the float weights. It sets
        the offsets, too, so that the first `refit_` does not move the centroids.
        """
        start = self._start.decode().to(weight)
        if not self.centroids.numel():
            return weight.clone()
        if torch.equal(self.forward(weight), start):
            latent = weight.clone()
        else:
            lowest, highest = self._cells()
            inside = torch.minimum(torch.maximum(weight, lowest), highest)
            latent = torch.lerp(start, inside, 0.5)
        self.offsets.copy_(self.centroids - self._means(latent, self.centroids))
        return latent

    def _cells(self) -> tuple[Tensor, Tensor]:
        """The lowest and the highest value whose nearest centroid is that of each weight."""
        midpoints = (self.centroids[1:] + self.centroids[:-1]) / 2
        infinity = midpoints.new_full((1,), torch.inf)
        indices = self._start.indices.int().flatten()
        shape = self._start.indices.shape
        lowest = torch.cat([-infinity, midpoints])[indices].view(shape)
        highest = torch.cat([midpoints, infinity])[indices].view(shape)
        return lowest, highest

    def refit_(self, latent: Tensor) -> None:
        """Move each centroid with the mean of its cluster; those of empty clusters stay."""
        if self.centroids.numel():
            moved = self._means(latent, self.centroids - self.offsets) + self.offsets
            self.centroids.copy_(moved.cummax(0).values)  # ascending, also if two have met

    def _means(self, latent: Tensor, otherwise: Tensor) -> Tensor:
        """The mean of each cluster, or the value of `otherwise` for an empty one; (k,)."""
        values = latent.flatten() if self.mask is None else latent[self.mask]
        indices = _nearest(values, self.centroids)
        sum_type = torch.float32 if values.device.type == "mps" else torch.float64
        sums = torch.zeros_like(self.centroids, dtype=sum_type)
        sums.index_add_(0, indices, values.to(sum_type))
        counts = torch.bincount(indices, minlength=self.centroids.numel())
        return torch.where(counts > 0, sums / counts, otherwise).to(self.centroids)

    def quantized(self, latent: Tensor) -> Codebook:
        """The current codebook."""
        indices = _nearest(latent.flatten(), self.centroids).view(latent.shape)
        if self.mask is not None:
            indices = indices.masked_fill(~self.mask, 0)
        return tidy_codebook(self.centroids, indices, self.mask)


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


def tidy_codebook(centroids: Tensor, indices: Tensor, mask: Tensor | None) -> Codebook:
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
