"""Puts the normalisation and the softmax into an ONNX file, so that it takes pixels."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.data.batches import Normaliser
from core.deploy.onnx.metadata import card_of, parse_onnx
from core.deploy.onnx.testing import Engine
from core.models.card import ModelCard

if TYPE_CHECKING:
    from onnx import ModelProto

PIXELS = "pixels"
PROBABILITIES = "probabilities"


def with_normalisation(model: bytes) -> bytes:
    """Return the network with the input "pixels", uint8 (N, 3, side, side), for its "images".

    They are normalised as the file's card says. The output is "probabilities", float32 (N, C), the
    softmax of the logits. model: an ONNX file that `export_onnx` or `quantize_int8` made; what it
    computes stays the same. Raises UserError for another file.
    """
    import onnx
    from onnx import TensorProto, helper

    proto = parse_onnx(model)
    normaliser = Normaliser(card_of(model).mean, card_of(model).std)
    images = proto.graph.input[0]
    logits = proto.graph.output[0]
    for name in ("scale", "shift"):
        values = getattr(normaliser, name).numpy()
        proto.graph.initializer.append(onnx.numpy_helper.from_array(values, f"{PIXELS}.{name}"))
    before = [
        helper.make_node("Cast", [PIXELS], [f"{PIXELS}.float"], "cast", to=TensorProto.FLOAT),
        helper.make_node(
            "Mul", [f"{PIXELS}.float", f"{PIXELS}.scale"], [f"{PIXELS}.scaled"], "scale"
        ),
        helper.make_node("Add", [f"{PIXELS}.scaled", f"{PIXELS}.shift"], [images.name], "shift"),
    ]
    after = helper.make_node("Softmax", [logits.name], [PROBABILITIES], "softmax", axis=1)
    nodes = [*before, *proto.graph.node, after]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    images.name = PIXELS
    images.type.tensor_type.elem_type = TensorProto.UINT8
    logits.name = PROBABILITIES
    _check(proto)
    content: bytes = proto.SerializeToString()
    return content


class PixelEngine:
    """Runs a network that takes pixels on normalised images, by turning these back into pixels."""

    def __init__(self, engine: Engine, card: ModelCard):
        """card: says how the images are normalised."""
        self._engine = engine
        self._mean = np.array(card.mean).reshape(1, -1, 1, 1)
        self._std = np.array(card.std).reshape(1, -1, 1, 1)

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities (N, C) for images (N, 3, side, side)."""
        pixels = np.rint(255 * (images * self._std + self._mean)).astype(np.uint8)
        return self._engine.run(pixels)


def _check(proto: "ModelProto") -> None:
    import onnx

    onnx.checker.check_model(proto, full_check=True)
