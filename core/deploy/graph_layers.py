"""Finds the tensors and operators of an ONNX graph that belong to a layer of the network."""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from core.deploy.onnx.layers import weights_of_layers
from core.deploy.onnx.metadata import parse_onnx
from core.deploy.profile import OperatorTime

if TYPE_CHECKING:
    from onnx import NodeProto

_ACTIVATIONS = ("Relu", "Clip", "LeakyRelu", "PRelu", "HardSwish", "HardSigmoid", "Sigmoid", "Tanh")

_ADDED_BY_ENGINE = re.compile(r"_(nchwc|token_\d+)$")
"""What ONNX Runtime writes behind the name of a node that it changed."""


def layer_tensors(model: bytes) -> dict[str, list[str]]:
    """Return the tensors that hold each layer's output, in the order of the computation.

    The layers are named as in the network, such as "layer1.0.conv1". The first tensor is the
    layer's own output, then come those after the activations that follow it. model: an ONNX file in
    float. Raises UserError if it is not one.
    """
    return {layer: list(_follow(node, nodes)) for layer, node, nodes in _layers(model)}


def name_layers(operators: Iterable[OperatorTime], model: bytes) -> list[OperatorTime]:
    """Return the operators with the names of the layers that they compute.

    An operator that belongs to no layer keeps its name. model: the ONNX file in float that was
    profiled, or that the profiled one was quantized from.
    """
    layers = {}
    for layer, node, nodes in _layers(model):
        layers[node.name] = layer
        layers |= dict.fromkeys(_follow(node, nodes), layer)
    named = []
    for operator in operators:
        plain_name = _ADDED_BY_ENGINE.sub("", operator.name)
        name = layers.get(plain_name, operator.name)
        named.append(operator.model_copy(update={"name": name}))
    return named


def _layers(model: bytes) -> "list[tuple[str, NodeProto, Sequence[NodeProto]]]":
    """Return the name and the node of each layer, and all nodes of the graph."""
    proto = parse_onnx(model)
    nodes = list(proto.graph.node)
    by_name = {node.name: node for node in nodes}
    return [
        (weight.removesuffix(".weight"), by_name[name], nodes)
        for weight, name in weights_of_layers(proto).items()
    ]


def _follow(node: "NodeProto", nodes: "Sequence[NodeProto]") -> "Iterable[str]":
    """Yield the output of the node, and those of the activations after it."""
    following: NodeProto | None = node
    while following is not None:
        tensor = following.output[0]
        yield tensor
        consumers = [other for other in nodes if tensor in other.input]
        is_activated = len(consumers) == 1 and consumers[0].op_type in _ACTIVATIONS
        following = consumers[0] if is_activated else None
