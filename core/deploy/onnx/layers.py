"""Finds the layers of an ONNX model by the names of their weights."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from core.deploy.onnx.metadata import parse_onnx
from core.errors import UserError

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import Tensor

_WEIGHTED = ("Conv", "Gemm", "MatMul")
_QUANTIZED = "_quantized"
"""ONNX Runtime adds this to the names of integer weights."""


def weights_of_layers(proto: "ModelProto") -> dict[str, str]:
    """Return the node of each layer by the name of its weight, in the order of the computation.

    Layers are convolutions and linear layers. Their weights have the names that they have in the
    network, such as "conv1.weight", unless the exporter transposed them.
    """
    stored = {tensor.name for tensor in proto.graph.initializer}
    layers = {}
    for node in proto.graph.node:
        if node.op_type not in _WEIGHTED:
            continue
        weight = next((name for name in node.input[:2] if name in stored), None)
        if weight is not None:
            layers[weight] = node.name
    return layers


def first_and_last_layer(proto: "ModelProto") -> tuple[str, str]:
    """Return the names of the weights of the first and of the last layer.

    Raises UserError if there is no layer with weights.
    """
    names = list(weights_of_layers(proto))
    if not names:
        raise UserError("This ONNX file has no layer with weights.")
    return names[0], names[-1]


def nodes_of(proto: "ModelProto", names: Collection[str]) -> list[str]:
    """Return the nodes of the layers with these weights. Raises UserError for an unknown name."""
    layers = weights_of_layers(proto)
    unknown = [name for name in names if name not in layers]
    if unknown:
        raise UserError(
            f"The layers to keep in float must be among {', '.join(layers)}, got {unknown[0]!r}"
        )
    return [layers[name] for name in names]


def weights_in_file(model: bytes) -> "dict[str, Tensor]":
    """Return the weights of an ONNX file's layers by their names in the network.

    Integer weights are returned as they are stored, int8 with 0 for zero. Raises UserError for a
    file that is not ONNX.
    """
    import torch
    from onnx.numpy_helper import to_array

    weights = {}
    for tensor in parse_onnx(model).graph.initializer:
        if tensor.name.endswith(".weight" + _QUANTIZED) or tensor.name.endswith(".weight"):
            values = torch.from_numpy(to_array(tensor).copy())
            weights[tensor.name.removesuffix(_QUANTIZED)] = values
    return weights
