"""Exports a network as an ONNX file, by torch's exporter.

BatchNorm after a convolution is folded into its weights, because the network is exported in
evaluation mode. One before an activation, as in DenseNet, stays a layer of its own.
"""

import contextlib
import copy
import logging
import threading
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from core.deploy.onnx.metadata import set_card_
from core.errors import UserError
from core.models.card import ModelCard

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18
"""The version of the ONNX operators, which programs from 2023 on know."""

INPUT = "images"
LOGITS = "logits"

_EXPORTING = threading.Lock()
"""Held during an export: torch's exporter, and the levels of its loggers, belong to the process."""

_LOUD_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir", "onnx")


def export_onnx(network: nn.Module, card: ModelCard) -> bytes:
    """Return the network as an ONNX file for any number N of images; it is left as it is.

    The input "images" is float32 (N, 3, side, side), normalised as the card says, and the output
    "logits" is float32 (N, C). The file has the card and the names of the classes in its metadata.
    Raises UserError for a network that cannot be exported.
    """
    exported = copy.deepcopy(network).to("cpu").to(memory_format=torch.contiguous_format)
    images = torch.zeros(2, 3, card.side, card.side)
    proto = _export(exported.eval(), images, card)
    _strip_(proto)
    set_card_(proto, card)
    _check(proto, card)
    content: bytes = proto.SerializeToString()
    return content


def _export(network: nn.Module, images: Tensor, card: ModelCard) -> "ModelProto":
    try:
        with _EXPORTING, _quiet(), torch.no_grad():
            program = torch.onnx.export(
                network,
                (images,),
                input_names=[INPUT],
                output_names=[LOGITS],
                dynamic_shapes=({0: torch.export.Dim("N")},),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        # The exporter's own message only lists its steps. What went wrong is the cause.
        reason = (str(error.__cause__ or error).strip().splitlines() or ["no message"])[0]
        raise UserError(f"{card.model} cannot be exported to ONNX: {reason}") from error
    assert program is not None, "with dynamo it returns a program"
    return program.model_proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's warnings and messages, which concern its authors, out of the log."""
    loggers = [logging.getLogger(name) for name in _LOUD_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _strip_(proto: "ModelProto") -> None:
    """Remove the exporter's notes. They hold stack traces with paths of this machine."""
    graph = proto.graph
    described = (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for item in (proto, graph, *described):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")


def _check(proto: "ModelProto", card: ModelCard) -> None:
    import onnx

    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"The exported {card.model} is no valid ONNX model: {reason}") from error
