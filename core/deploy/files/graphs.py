"""Loads an exported file that says how to compute, and finds in it what is checked."""

from dataclasses import dataclass

from torch import Tensor

from core.deploy.files.formats import FormatName
from core.deploy.files.openvino_ir import card_in_ir, ir_engine, weights_in_ir
from core.deploy.onnx.engine import OnnxEngine
from core.deploy.onnx.layers import weights_in_file
from core.deploy.onnx.metadata import card_of
from core.deploy.onnx.pixels import PixelEngine
from core.deploy.onnx.testing import Engine
from core.models.card import ModelCard


@dataclass(frozen=True, eq=False)
class Graph:
    """A file that runs by itself.

    engine: runs it on normalised images. gives_probabilities: whether its output is not logits but
    probabilities. weights: of its layers, by their names in the network.
    """

    engine: Engine
    gives_probabilities: bool
    card: ModelCard
    weights: dict[str, Tensor]


def read_graph(content: bytes, format_name: FormatName, with_normalisation: bool) -> Graph:
    """Load a file of a format that `is_graph`.

    with_normalisation: whether it takes pixels and gives probabilities. Raises UserError for a file
    that is damaged or is no such file.
    """
    if format_name in ("openvino", "openvino-int8"):
        card = card_in_ir(content)
        weights = weights_in_ir(content)
        engine: Engine = ir_engine(content)
    else:
        card = card_of(content)
        weights = weights_in_file(content)
        engine = OnnxEngine(content)
    if with_normalisation:
        engine = PixelEngine(engine, card)
    return Graph(engine, with_normalisation, card, weights)
