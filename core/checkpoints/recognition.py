"""Recognises the network of the registry that a state dict belongs to."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from core.checkpoints.matching import compare_tensors
from core.checkpoints.tensors import layer_and_role, tensor_spec
from core.models import ALL_MODELS

_FLOATING_BUFFERS = ("running_mean", "running_var", "relative_coords_table")
"""Endings of the names of floating tensors that are no parameters."""


@dataclass(frozen=True)
class Candidate:
    """A network that a state dict fits.

    num_classes: number of classes of that network. by_order: whether the tensors fit by their order
    and shapes only, not by their names.
    """

    model: str
    num_classes: int
    by_order: bool


def recognise(state: Mapping[str, Tensor]) -> list[Candidate]:
    """Return the networks of the registry that the state dict fits.

    These are the networks that fit by name, or if there is none, those that fit by order and shape.
    """
    candidates = []
    for model, num_classes in _plausible_networks(state):
        matching = compare_tensors(state, model, num_classes, by_order=True)
        if matching.fits:
            candidates.append(Candidate(model, num_classes, matching.by_order))
    by_name = [candidate for candidate in candidates if not candidate.by_order]
    return by_name or candidates


def describe_unrecognised(state: Mapping[str, Tensor], name: str) -> str:
    """Say that no network of the registry fits the state dict in the file called `name`."""
    first, tensor = next(iter(state.items()))
    return (
        f"{name} fits none of the {len(ALL_MODELS)} networks of this program: it has"
        f" {_count_parameters(state):,} parameters in {len(state):,} tensors, of which the first is"
        f" {first} ({tensor_spec(tensor)})."
    )


def _plausible_networks(state: Mapping[str, Tensor]) -> list[tuple[str, int]]:
    """Return (network, classes) where the network has as many parameters as the state dict.

    Any layer may be the last one, whose outputs are the classes. The registry counts parameters for
    a certain number of classes, so the state dict's parameters are converted to that number.
    """
    parameters = _count_parameters(state)
    last_layers = _possible_last_layers(state)
    networks = []
    for info in ALL_MODELS.values():
        for classes, parameters_per_class in last_layers:
            converted = parameters + (info.classes - classes) * parameters_per_class
            if converted == info.parameters and (info.name, classes) not in networks:
                networks.append((info.name, classes))
    return networks


def _possible_last_layers(state: Mapping[str, Tensor]) -> set[tuple[int, int]]:
    """Return (outputs, parameters per output) of each layer, both without a bias and with one."""
    layers = set()
    for name, tensor in state.items():
        _, role = layer_and_role(name)
        if role == "weight" and tensor.ndim in (2, 4) and len(tensor) > 0:
            outputs = len(tensor)
            inputs = tensor[0].numel()
            layers |= {(outputs, inputs), (outputs, inputs + 1)}
    return layers


def _count_parameters(state: Mapping[str, Tensor]) -> int:
    parameters = [
        tensor
        for name, tensor in state.items()
        if tensor.is_floating_point() and not name.endswith(_FLOATING_BUFFERS)
    ]
    return sum(tensor.numel() for tensor in parameters)
