"""Fine-tunes shared weights with any training loop.

Codebooks are attached to a model's weights as torch parametrizations. Then either the centroids are
trained, or latent float weights whose nearest centroids the network uses; see
`core.compress.clustering.trained`. Pinned zeros stay 0.0 in both.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.utils import parametrize

from core.compress.clustering.trained import LatentWeights, TrainedCentroids
from core.compress.kmeans import Codebook
from core.errors import UserError


def attach_(model: nn.Module, codebooks: Mapping[str, Codebook], latent: bool = False) -> None:
    """Replace the weights of these names by codebooks, until `detach_`; mutates the model.

    Each weight then reads as its decoded codebook. In its place `model.parameters()` has what is
    trained: the (k,) centroids, or with `latent` the current float weights, whose centroids are
    moved by `refit_`. Call it before the optimizer is made. Names are parameter names, as in
    `share_model`.

    Raises UserError, before anything is changed, for a weight that several layers share.
    """
    owners = {name: _owner(model, name) for name in codebooks}
    for name, (module, tensor_name) in owners.items():
        codebook = codebooks[name]
        getattr(module, tensor_name).grad = None
        parametrization = LatentWeights(codebook) if latent else TrainedCentroids(codebook)
        parametrize.register_parametrization(module, tensor_name, parametrization)


def refit_(model: nn.Module) -> None:
    """Run one Lloyd iteration in every latent weight: move each centroid to its cluster's mean.

    Centroids of empty clusters stay. Call it after each optimizer step, or less often. Mutates the
    centroids of latent weights only.
    """
    for attached in _attached(model):
        if isinstance(attached.parametrization, LatentWeights):
            attached.parametrization.refit_(attached.trained)


def codebooks(model: nn.Module) -> dict[str, Codebook]:
    """The current codebooks of the attached weights, by parameter name; the model is not changed.

    A centroid that no weight uses any more is dropped.
    """
    return {
        attached.name: attached.parametrization.codebook(attached.trained)
        for attached in _attached(model)
    }


def detach_(model: nn.Module) -> dict[str, Codebook]:
    """Remove the codebooks and return them by parameter name; mutates the model.

    Every weight becomes an ordinary parameter again, whose value is exactly its decoded codebook.
    Do not call it on a deep copy of a model that is still attached: both share a class, and torch
    changes that class.
    """
    result = codebooks(model)
    for attached in list(_attached(model)):
        module = attached.module
        tensor_name = attached.tensor_name
        parametrize.remove_parametrizations(module, tensor_name, leave_parametrized=True)
        parameter = getattr(module, tensor_name)
        parameter.grad = None
        parameter.data.copy_(result[attached.name].decode())
    return result


@dataclass(frozen=True, eq=False)
class _Attached:
    """A weight with a codebook.

    name: the parameter's name in the model. module, tensor_name: the module that holds it, and its
    name there. parametrization: what computes the weight. trained: the centroids or the latent
    weights, detached.
    """

    name: str
    module: nn.Module
    tensor_name: str
    parametrization: TrainedCentroids | LatentWeights
    trained: Tensor


def _attached(model: nn.Module) -> Iterator[_Attached]:
    """All weights of the model that have a codebook."""
    for path, module in model.named_modules():
        for tensor_name, chain in getattr(module, "parametrizations", {}).items():
            parametrization = chain[0]
            if isinstance(parametrization, TrainedCentroids | LatentWeights):
                name = f"{path}.{tensor_name}" if path else tensor_name
                trained = chain.original.detach()
                yield _Attached(name, module, tensor_name, parametrization, trained)


def _owner(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The one module that holds the parameter, and the parameter's name there.

    Raises UserError if several modules hold it.
    """
    weight = model.get_parameter(name)
    holders = [
        module
        for module in model.modules()
        if any(weight is parameter for parameter in module.parameters(recurse=False))
    ]
    if len(holders) > 1:
        raise UserError(
            f"{name} belongs to several layers at once, and such a weight cannot be tuned; leave it"
            " out."
        )
    _, _, tensor_name = name.rpartition(".")
    return holders[0], tensor_name
