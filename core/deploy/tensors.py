"""Compares a float ONNX graph and its 8-bit version tensor by tensor.

Tensors from inside both graphs become outputs. Those of the 8-bit graph are read where its integers
are turned back into floats. Both graphs run as the files define them, without optimization: ONNX
Runtime's fused kernels give the same up to rounding, but some of these tensors do not exist there.
"""

from collections.abc import Collection, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from core.deploy.graph_layers import layer_tensors
from core.deploy.onnx.metadata import parse_onnx
from core.errors import UserError
from core.inspect.tensor_error import TensorError, tensor_errors

_RENAMED = "_QuantizeLinear_Input"
"""What the quantizer writes behind the name of an output of the whole graph."""


def int8_errors(
    float_model: bytes, int8_model: bytes, images: NDArray[np.float32]
) -> list[TensorError]:
    """Return the error of each layer's output in the 8-bit version, from input to output.

    A layer's output is taken after the activation that follows it, if the two are computed in one.
    Layers whose output is not quantized are left out. images: normalised, float32 (N, C, H, W).
    Raises UserError for files that are not ONNX, and if no layer is left.
    """
    quantized = _dequantized_tensors(int8_model)
    pairs = {}
    for layer, tensors in layer_tensors(float_model).items():
        tensor = next((tensor for tensor in tensors if tensor in quantized), None)
        if tensor is not None:
            pairs[layer] = tensor
    if not pairs:
        raise UserError("No layer of the 8-bit file is one of the float file: take its own parent.")
    reference = run_tensors(float_model, list(pairs.values()), images)
    approximation = run_tensors(int8_model, [quantized[name] for name in pairs.values()], images)
    return tensor_errors(
        {layer: torch.from_numpy(reference[tensor]) for layer, tensor in pairs.items()},
        {
            layer: torch.from_numpy(approximation[quantized[tensor]])
            for layer, tensor in pairs.items()
        },
    )


def run_tensors(
    model: bytes, names: Collection[str], images: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    """Run an ONNX file on images, and return these tensors of its graph by name.

    Nothing is optimized, and all tensors are in memory at once. Raises UserError if the file is not
    ONNX.
    """
    import onnxruntime
    from onnx import TensorProto, helper

    proto = parse_onnx(model)
    existing = {output.name for output in proto.graph.output}
    for name in names:
        if name not in existing:
            info = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            proto.graph.output.append(info)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    outputs: Sequence[NDArray[np.float32]] = session.run(
        list(names), {proto.graph.input[0].name: np.ascontiguousarray(images)}
    )
    return dict(zip(names, outputs, strict=True))


def _dequantized_tensors(model: bytes) -> dict[str, str]:
    """Return the dequantized form of each quantized tensor, by the tensor's name in float."""
    nodes = parse_onnx(model).graph.node
    sources = {node.output[0]: node.input[0] for node in nodes if node.op_type == "QuantizeLinear"}
    return {
        sources[node.input[0]].removesuffix(_RENAMED): node.output[0]
        for node in nodes
        if node.op_type == "DequantizeLinear" and node.input[0] in sources
    }
