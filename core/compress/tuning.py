"""Fine-tuning shared weights with any training loop: the centroids are the parameters, or the weights behind them.

Centroids: assignments stay, and a centroid's gradient is the sum over its cluster (Han et al., "Deep Compression",
arXiv:1510.00149, section 3, eq. 3). Latent: float weights are kept behind, the forward pass sees the centroid nearest
to each, the gradient passes straight through (Bengio et al., arXiv:1308.3432), and the centroids follow as the means
of their clusters, so that weights may change cluster. Pinned zeros stay 0.0 in both.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from core.compress.kmeans import Codebook
from core.errors import UserError


def attach_(model: nn.Module, codebooks: Mapping[str, Codebook], latent: bool = False) -> None:
    """Put codebooks behind the weights of these names, until `detach_`; mutates the model.

    A weight then reads as its decoded codebook, and what `model.parameters()` holds in its place is trained:
    the (k,) centroids, or with `latent` the float weights as they are now, whose centroids `refit_` moves.
    Call it before the optimizer is made. Names are parameter names, as in `share_model`.
    Raises UserError, before anything is changed, for a weight that several layers share.
    """
    owners = {name: _owner(model, name) for name in codebooks}
    for name, (module, tensor) in owners.items():
        codebook = codebooks[name]
        getattr(module, tensor).grad = None
        behind = _Latent(codebook) if latent else _Centroids(codebook)
        parametrize.register_parametrization(module, tensor, behind)


def refit_(model: nn.Module) -> None:
    """One Lloyd iteration in every latent weight: each centroid becomes its cluster's mean. Empty ones stay.

    For after each optimizer step, or less often; mutates the centroids only. Does nothing to attached centroids.
    """
    for module in model.modules():
        if isinstance(module, parametrize.ParametrizationList) and isinstance(module[0], _Latent):
            module[0].refit_(module.original.detach())


def codebooks(model: nn.Module) -> dict[str, Codebook]:
    """The codebooks behind the weights as they are now, by parameter name; the model is not touched.

    A centroid that no weight uses any more is dropped.
    """
    return {f"{path}.{tensor}" if path else tensor: behind[0].codebook(behind.original.detach())
            for path, _, tensor, behind in _attached(model)}


def detach_(model: nn.Module) -> dict[str, Codebook]:
    """Take the codebooks off again and return them by parameter name; mutates the model.

    Every weight becomes an ordinary parameter again, with exactly its decoded codebook as value. Not for one of two
    deep copies: torch keeps what it takes off in the class that they share.
    """
    found = codebooks(model)
    for path, module, tensor, _ in list(_attached(model)):
        parametrize.remove_parametrizations(module, tensor, leave_parametrized=True)
        parameter = getattr(module, tensor)
        parameter.grad = None
        parameter.data.copy_(found[f"{path}.{tensor}" if path else tensor].decode())
    return found


def _attached(model: nn.Module) -> Iterator[tuple[str, nn.Module, str, parametrize.ParametrizationList]]:
    """Path and module, the tensor's name in it, and what is behind it, for every codebook."""
    for path, module in model.named_modules():
        for tensor, behind in getattr(module, "parametrizations", {}).items():
            if isinstance(behind[0], _Centroids | _Latent):
                yield path, module, tensor, behind


def _owner(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The one module that holds the parameter, and the parameter's name in it."""
    path, _, tensor = name.rpartition(".")
    weight = model.get_parameter(name)
    if sum(weight is other for module in model.modules() for other in module.parameters(recurse=False)) > 1:
        raise UserError(f"{name} belongs to several layers at once, and such a weight cannot be tuned; leave it out.")
    return model.get_submodule(path), tensor


class _Centroids(nn.Module):
    """centroids (k,) -> weight. Pinned zeros index one more entry of the table, which is 0.0."""

    def __init__(self, codebook: Codebook):
        super().__init__()
        self.shape, self.start = codebook.indices.shape, codebook.centroids
        indices = codebook.indices.int()
        if codebook.mask is not None:
            indices = indices.masked_fill(~codebook.mask, codebook.centroids.numel())
        self.register_buffer("indices", indices.flatten())

    def forward(self, centroids: Tensor) -> Tensor:
        return _Lookup.apply(centroids, self.indices).view(self.shape)

    def right_inverse(self, weight: Tensor) -> Tensor:
        return self.start.to(weight, copy=True)

    def codebook(self, centroids: Tensor) -> Codebook:
        indices = self.indices.view(self.shape)
        kept = indices < centroids.numel()
        return _codebook(centroids, indices.masked_fill(~kept, 0), None if bool(kept.all()) else kept)


class _Lookup(torch.autograd.Function):
    """centroids[indices] with a last entry of 0.0; backward sums each cluster's gradient."""

    @staticmethod
    def forward(ctx, centroids: Tensor, indices: Tensor) -> Tensor:
        ctx.save_for_backward(indices)
        ctx.clusters = centroids.numel()
        return torch.cat([centroids, centroids.new_zeros(1)]).index_select(0, indices)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        indices, = ctx.saved_tensors
        return gradient.new_zeros(ctx.clusters + 1).index_add_(0, indices, gradient)[:-1], None


class _Latent(nn.Module):
    """latent weight -> the centroid nearest to each."""

    def __init__(self, codebook: Codebook):
        super().__init__()
        self.register_buffer("centroids", codebook.centroids.clone())
        self.register_buffer("mask", codebook.mask)

    def forward(self, latent: Tensor) -> Tensor:
        return _StraightThrough.apply(latent, self.centroids, self.mask)

    def refit_(self, latent: Tensor) -> None:
        values = latent.flatten() if self.mask is None else latent[self.mask]
        if not self.centroids.numel():
            return
        indices = _nearest(values, self.centroids)
        sums = torch.zeros_like(self.centroids, dtype=_exact(values)).index_add_(0, indices, values.to(_exact(values)))
        counts = torch.bincount(indices, minlength=self.centroids.numel())
        self.centroids.copy_(torch.where(counts > 0, sums / counts, self.centroids))

    def codebook(self, latent: Tensor) -> Codebook:
        indices = _nearest(latent.flatten(), self.centroids).view(latent.shape)
        if self.mask is not None:
            indices = indices.masked_fill(~self.mask, 0)
        return _codebook(self.centroids, indices, self.mask)


class _StraightThrough(torch.autograd.Function):
    """The nearest centroid of each latent weight; backward hands the gradient on, except at pinned zeros."""

    @staticmethod
    def forward(ctx, latent: Tensor, centroids: Tensor, mask: Tensor | None) -> Tensor:
        ctx.save_for_backward(mask)
        if not centroids.numel():
            return torch.zeros_like(latent)
        weight = centroids.index_select(0, _nearest(latent.flatten(), centroids)).view(latent.shape)
        return weight if mask is None else weight.masked_fill_(~mask, 0.0)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        mask, = ctx.saved_tensors
        return gradient if mask is None else gradient.masked_fill(~mask, 0.0), None, None


def _nearest(values: Tensor, centroids: Tensor) -> Tensor:
    """Index (int32) of the nearest of the ascending centroids."""
    return torch.bucketize(values, (centroids[1:] + centroids[:-1]) / 2, out_int32=True)


def _exact(values: Tensor) -> torch.dtype:
    return torch.float32 if values.device.type == "mps" else torch.float64


def _codebook(centroids: Tensor, indices: Tensor, mask: Tensor | None) -> Codebook:
    """A valid codebook again: ascending, without duplicates and without centroids that no weight uses."""
    if not centroids.numel():
        return Codebook(centroids, indices.to(torch.uint8), mask)
    table, place = centroids.float().unique(return_inverse=True)
    indices = place[indices.long()]
    counts = torch.bincount(indices.flatten() if mask is None else indices[mask], minlength=table.numel())
    rank = (counts > 0).cumsum(0).sub_(1).clamp_(min=0)
    indices = rank[indices] if mask is None else rank[indices].masked_fill_(~mask, 0)
    return Codebook(table[counts > 0], indices.to(torch.uint8), mask)
