"""Quantizes the layers of an ONNX file to 8-bit integers, by ONNX Runtime's static quantization.

Every activation gets one scale and zero point, from the least and greatest value on calibration
images. Every output channel of a weight gets a scale of its own, around zero, so that pruned
weights stay exactly 0. The file says where to round (QuantizeLinear, DequantizeLinear: "QDQ"); an
engine fuses these with the layers between them into integer kernels.

Measured with ResNet20 on the CIFAR-10 test images (91.73% in float), on a processor with AVX2 and
without VNNI. Processor seconds are for 100 images in ONNX Runtime; the float file takes 0.23. The
percentile and the entropy were not timed.

    activations, weights     ranges from            accuracy   seconds
    uint8, int8 up to 64     least and greatest     91.70%     0.25     used here
    uint8, int8 up to 64     99.99th percentile     91.72%              keeps all activations
    uint8, int8 up to 64     entropy                91.70%              keeps all activations
    uint8, int8 up to 127    least and greatest     91.16%     0.25     sums overflow
    int8, int8 up to 64      least and greatest     91.68%     0.33
    uint8, uint8 up to 255   least and greatest     91.72%     0.27
"""

import contextlib
import itertools
import logging
import tempfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.deploy.onnx.layers import nodes_of, weights_of_layers
from core.deploy.onnx.metadata import parse_onnx
from core.errors import UserError

if TYPE_CHECKING:
    from onnx import ModelProto

LARGEST_LEVEL = 64
"""Integer weights lie in [-64, 64], a little over 7 bits.

Processors without VNNI multiply unsigned by signed bytes and add pairs of products in 16 bits,
which overflow: 2 x 255 x 127 is more than 32,767, but 2 x 255 x 64 is not. On one with AVX2 alone,
ResNet20 on CIFAR-10 loses 0.57 points with weights up to 127, of which 0.52 are overflow. A file is
copied from machine to machine, so it never relies on VNNI. The eighth bit is worth little: the same
rounding without overflow gets 91.68% with weights up to 127.
"""


def quantize_int8(
    model: bytes, calibration: Iterable[NDArray[np.float32]], float_layers: Collection[str] = ()
) -> bytes:
    """Return the ONNX file with 8-bit integer layers, and with the same metadata.

    Weights are int8, activations uint8, biases int32. calibration: batches of normalised images,
    float32 (B, 3, side, side), at least one. float_layers: names of weights, such as
    "conv1.weight", whose layers stay in float. Raises UserError for a file that is not ONNX, for an
    unknown layer, and without images.
    """
    proto = parse_onnx(model)
    excluded = [*nodes_of(proto, float_layers), *_unfolded_batchnorms(proto)]
    batches = iter(calibration)
    first = next(batches, None)
    if first is None:
        raise UserError("Calibration needs at least one image.")
    images = _Images(proto.graph.input[0].name, itertools.chain([first], batches))
    with tempfile.TemporaryDirectory(prefix="int8-") as folder, _quiet():
        source = Path(folder) / "float.onnx"
        prepared = Path(folder) / "prepared.onnx"
        quantized = Path(folder) / "int8.onnx"
        source.write_bytes(model)
        _prepare(source, prepared)
        _quantize(prepared, quantized, images, excluded)
        result = parse_onnx(quantized.read_bytes())
    _keep_in_float_(result, float_layers)
    _copy_metadata_(result, proto)
    content: bytes = result.SerializeToString()
    return content


def _unfolded_batchnorms(proto: "ModelProto") -> list[str]:
    """Return the BatchNorm nodes. No integer kernel runs them, so rounding would only cost."""
    return [node.name for node in proto.graph.node if node.op_type == "BatchNormalization"]


def _keep_in_float_(proto: "ModelProto", weights: Collection[str]) -> None:
    """Keep the layers with these weights in float, whatever is before and after them.

    ONNX Runtime (1.32: WeightBiasQuantization) rounds the weights of a float layer whose input and
    output are quantized, with one scale for the whole layer, to run it in integers after all. A
    maximum with the lowest float changes no value, and parts the layer from a quantized output.
    """
    from onnx import helper, numpy_helper

    layers = weights_of_layers(proto)
    nodes = {node.name: node for node in proto.graph.node}
    quantized = {node.output[0] for node in nodes.values() if node.op_type == "DequantizeLinear"}
    outputs = {value.name for value in proto.graph.output}
    for weight in weights:
        layer = nodes[layers[weight]]
        output = layer.output[0]
        if layer.input[0] not in quantized or output in outputs:
            continue
        layer.output[0] = f"{output}_float"
        lowest = numpy_helper.from_array(np.array(np.finfo(np.float32).min), f"{output}_lowest")
        proto.graph.initializer.append(lowest)
        maximum = helper.make_node("Max", [layer.output[0], lowest.name], [output], f"{output}_max")
        proto.graph.node.insert(list(proto.graph.node).index(layer) + 1, maximum)


class _Images:
    """The calibration images as ONNX Runtime reads them: one batch at a time, None at the end."""

    def __init__(self, input_name: str, batches: Iterable[NDArray[np.float32]]):
        self.input_name = input_name
        self._batches = iter(batches)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next batch by the name of the model's input, None after the last."""
        batch = next(self._batches, None)
        if batch is None:
            return None
        return {self.input_name: np.ascontiguousarray(batch)}


def _prepare(source: Path, target: Path) -> None:
    """Fold BatchNorm and constants, and write down the shape of every tensor."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    # The exporter wrote the symbolic shapes already, so sympy is not needed.
    quant_pre_process(source, target, skip_symbolic_shape=True)


def _quantize(source: Path, target: Path, images: _Images, excluded: list[str]) -> None:
    from onnxruntime.quantization import (
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    quantize_static(
        source,
        target,
        images,
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        reduce_range=True,  # see LARGEST_LEVEL
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=excluded,
        calibrate_method=CalibrationMethod.MinMax,
        extra_options={"WeightSymmetric": True},
    )


def _copy_metadata_(target: "ModelProto", source: "ModelProto") -> None:
    del target.metadata_props[:]
    target.metadata_props.extend(source.metadata_props)
    target.producer_name = source.producer_name
    target.producer_version = source.producer_version


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantizer's advice out of the log: it warns on the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
