"""Recognises the network of the registry that a state dict belongs to."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from core.checkpoints.matching import Matching, compare_tensors
from core.checkpoints.tensors import (
    COUNTER,
    TensorSpec,
    count_trained_values,
    layer_and_role,
    network_tensors,
    tensor_spec,
    tensor_specs,
)
from core.models import ALL_MODELS, own_infos

_COMPARED = 8
"""Networks whose tensors are compared with those of a file that fits none."""

_NAMED = 2
"""Networks that are named as the nearest."""


@dataclass(frozen=True)
class RecognisedNetwork:
    """A network that a state dict fits.

    num_classes: number of classes of that network. by_order: whether the tensors fit by the
    structure and order of their layers only, not by their names.
    """

    model: str
    num_classes: int
    by_order: bool


def recognise(state: Mapping[str, Tensor]) -> list[RecognisedNetwork]:
    """Return the networks of the registry that the state dict fits, the likeliest first.

    These are the networks that fit by name, or if there is none, those that fit by structure. Of
    several, the one with the most equal names is the likeliest.
    """
    fitting = [matching for matching in _compare_plausible(state) if matching.fits]
    by_name = [matching for matching in fitting if not matching.by_order]
    likeliest_first = sorted(by_name or fitting, key=lambda matching: len(matching.renamed))
    return [
        RecognisedNetwork(matching.model, matching.num_classes, matching.by_order)
        for matching in likeliest_first
    ]


def describe_unrecognised(state: Mapping[str, Tensor], name: str) -> str:
    """Say why no network of the registry fits the state dict in the file called `name`."""
    for matching in _compare_plausible(state):
        if matching.has_all_tensors:
            return matching.problem(name)
    first, tensor = next(iter(state.items()))
    parameters = count_trained_values(tensor_specs(state))
    text = (
        f"{name} fits none of the {len(ALL_MODELS)} networks of this program: it has"
        f" {parameters:,} parameters in {len(state):,} tensors, of which"
        f" the first is {first} ({tensor_spec(tensor)})."
    )
    return f"{text} {_describe_nearest(state, '')}".rstrip()


def suggest_networks(state: Mapping[str, Tensor], refused: str) -> str:
    """Say in one sentence which networks the state dict fits, or else which are the nearest.

    refused: the network that was asked for. Returns "" if no other one can be named.
    """
    models = [candidate.model for candidate in recognise(state)]
    if refused in models:
        return ""
    if models:
        return f"It fits {' and '.join(models)}."
    return _describe_nearest(state, refused)


def _compare_plausible(state: Mapping[str, Tensor]) -> list[Matching]:
    return [
        compare_tensors(state, model, num_classes, by_order=True)
        for model, num_classes in _plausible_networks(state)
    ]


def _plausible_networks(state: Mapping[str, Tensor]) -> list[tuple[str, int]]:
    """Return (network, classes) where the network has as many parameters as the state dict.

    Any layer may be the last one, whose outputs are the classes. The registry counts parameters for
    a certain number of classes, so the state dict's parameters are converted to that number.
    """
    parameters = count_trained_values(tensor_specs(state))
    last_layers = _possible_last_layers(state)
    networks = []
    for info in [*ALL_MODELS.values(), *own_infos()]:
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


def _describe_nearest(state: Mapping[str, Tensor], refused: str) -> str:
    """Name the nearest networks but `refused`, and where each begins to differ."""
    nearest = [network for network in _nearest(tensor_specs(state)) if network[0] != refused]
    differences = [_difference(state, model, classes) for model, classes in nearest[:_NAMED]]
    return f"The nearest: {'; '.join(differences)}." if differences else ""


def _nearest(in_file: Mapping[str, TensorSpec]) -> list[tuple[str, int]]:
    """Return the networks, with their classes, that share the most tensors of equal shapes.

    Only networks of half to twice the parameters are compared, and at least half of the
    tensors must be shared.
    """
    parameters = count_trained_values(in_file)
    similar = [
        info
        for info in ALL_MODELS.values()
        if info.parameters / 2 <= parameters <= 2 * info.parameters
    ]
    similar.sort(key=lambda info: abs(info.parameters - parameters))
    last_shapes = [spec.shape for spec in in_file.values() if len(spec.shape) == 2]
    classes = last_shapes[-1][0] if last_shapes and last_shapes[-1][0] > 0 else 10
    networks = [(info.name, classes) for info in similar[:_COMPARED]]
    shares = {network: _shared_tensors(in_file, *network) for network in networks}
    best_first = sorted(networks, key=lambda network: -shares[network])
    return [network for network in best_first if shares[network] >= 0.5]


def _shared_tensors(in_file: Mapping[str, TensorSpec], model: str, num_classes: int) -> float:
    """Return the fraction of tensors, of file and network together, that the other has too."""
    file_tensors = _roles_and_shapes(in_file)
    of_network = _roles_and_shapes(network_tensors(model, num_classes))
    shared = file_tensors & of_network
    either = file_tensors | of_network
    return shared.total() / either.total()


def _roles_and_shapes(specs: Mapping[str, TensorSpec]) -> Counter[tuple[str, TensorSpec]]:
    roles = {name: layer_and_role(name)[1] for name in specs}
    return Counter((roles[name], spec) for name, spec in specs.items() if roles[name] != COUNTER)


def _difference(state: Mapping[str, Tensor], model: str, num_classes: int) -> str:
    """Name a network and the first tensor in which the state dict differs from it."""
    by_name = compare_tensors(state, model, num_classes)
    in_order = compare_tensors(state, model, num_classes, by_order=True)
    nearer = by_name if len(by_name.pairs) >= len(in_order.pairs) else in_order
    return f"{model}, but {nearer.differences(limit=1)}"
