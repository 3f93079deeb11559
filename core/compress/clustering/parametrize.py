"""Fine-tunes quantized weights with any training loop.

Quantized weights are attached to a model's weights as torch parametrizations. Then either the
centroids of codebooks are trained, or latent float weights whose nearest levels the network uses;
see `core.compress.clustering.trained` and `core.compress.clustering.trained_grid`. Pruned weights
stay 0.0 in both.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.utils import parametrize

from core.compress.affine import Affine, QuantizedWeight
from core.compress.clustering.trained import LatentWeights, TrainedCentroids
from core.compress.clustering.trained_grid import LatentGrid
from core.errors import UserError

Parametrization = TrainedCentroids | LatentWeights | LatentGrid


def attach_(model: nn.Module, items: Mapping[str, QuantizedWeight], latent: bool = False) -> None:
    """Replace the weights of these names by quantized ones, until `detach_`; mutates the model.

    Each weight then reads as its decoded item. In its place `model.parameters()` has what is
    trained: the (k,) centroids of a codebook, or with `latent` the float weights, whose centroids
    are moved by `refit_`. An Affine always has latent weights, and its scale is trained too;
    weights that are 0 are pruned, and stay. Call it before the optimizer is made. Names are
    parameter names, as in `share_model`.

    Raises UserError, before anything is changed, for a weight that several layers share.
    """
    owners = {name: _owner(model, name) for name in items}
    for name, (module, tensor_name) in owners.items():
        weight = getattr(module, tensor_name)
        weight.grad = None
        parametrization = _parametrization(items[name], weight.detach(), latent)
        parametrize.register_parametrization(module, tensor_name, parametrization)


def _parametrization(item: QuantizedWeight, weight: Tensor, latent: bool) -> Parametrization:
    if isinstance(item, Affine):
        kept = weight != 0
        return LatentGrid(item, None if bool(kept.all()) else kept)
    return LatentWeights(item) if latent else TrainedCentroids(item)


def refit_(model: nn.Module) -> None:
    """Run one Lloyd iteration in every latent weight: move each centroid to its cluster's mean.

    Centroids of empty clusters stay, and the scales of grids stay positive. Call it after each
    optimizer step, or less often. Mutates the levels of latent weights only.
    """
    for attached in _attached(model):
        if isinstance(attached.parametrization, LatentWeights | LatentGrid):
            attached.parametrization.refit_(attached.trained)


def quantized_weights(model: nn.Module) -> dict[str, QuantizedWeight]:
    """The current state of the attached weights, by parameter name; the model is not changed.

    A centroid that no weight uses any more is dropped.
    """
    return {
        attached.name: attached.parametrization.quantized(attached.trained)
        for attached in _attached(model)
    }


def detach_(model: nn.Module) -> dict[str, QuantizedWeight]:
    """Remove the quantized weights and return them by parameter name; mutates the model.

    Every weight becomes an ordinary parameter again, whose value is exactly its decoded item.
    Do not call it on a deep copy of a model that is still attached: both share a class, and torch
    changes that class.
    """
    result = quantized_weights(model)
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
    """A weight that is quantized.

    name: the parameter's name in the model. module, tensor_name: the module that holds it, and its
    name there. parametrization: what computes the weight. trained: the centroids or the latent
    weights, detached.
    """

    name: str
    module: nn.Module
    tensor_name: str
    parametrization: Parametrization
    trained: Tensor


def _attached(model: nn.Module) -> Iterator[_Attached]:
    """All weights of the model that are quantized."""
    for path, module in model.named_modules():
        for tensor_name, chain in getattr(module, "parametrizations", {}).items():
            parametrization = chain[0]
            if isinstance(parametrization, TrainedCentroids | LatentWeights | LatentGrid):
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
