"""Matches tensors of a kind in their order, to find where two networks begin to differ."""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from core.checkpoints.tensors import TensorSpec, layer_and_role


def match_in_order(
    in_network: Mapping[str, TensorSpec], in_file: Mapping[str, TensorSpec]
) -> dict[str, str]:
    """Match the first tensor of each kind with the file's first tensor of that kind, and so on.

    Returns names in the network -> names in the file, without those that have no partner.
    """
    file_names = _names_by_kind(in_file)
    partners: dict[str, str] = {}
    for kind, network_names in _names_by_kind(in_network).items():
        partners.update(zip(network_names, file_names.get(kind, []), strict=False))
    return {name: partners[name] for name in in_network if name in partners}


class _Kind(NamedTuple):
    """The kind of a tensor: its role in its layer, and the layer's type.

    The number of dimensions of the layer's weight gives the type: 4 for a convolution, 2 for a
    linear layer, 1 for BatchNorm.
    """

    role: str
    dimensions: int


def _names_by_kind(specs: Mapping[str, TensorSpec]) -> dict[_Kind, list[str]]:
    """Return the names of the tensors of each kind, in their order."""
    weight_dimensions = {}
    for name, spec in specs.items():
        layer, role = layer_and_role(name)
        if role == "weight":
            weight_dimensions[layer] = len(spec.shape)
    names: dict[_Kind, list[str]] = defaultdict(list)
    for name, spec in specs.items():
        layer, role = layer_and_role(name)
        # Without a weight in its layer, a bias or statistic is taken for BatchNorm's.
        default = 1 if role else len(spec.shape)
        kind = _Kind(role, weight_dimensions.get(layer, default))
        names[kind].append(name)
    return names
