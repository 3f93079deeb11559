"""The formats of an export, as a literal registry."""

from dataclasses import dataclass
from typing import Literal, get_args

FormatName = Literal[
    "packed",
    "safetensors",
    "onnx",
    "onnx-int8",
    "openvino",
    "openvino-int8",
    "masks",
    "metrics",
    "card",
]


@dataclass(frozen=True)
class ExportFormat:
    """Facts about a format.

    suffix: of its files. is_network: whether the file can answer for images, so that its accuracy
    can be measured. description: one sentence for a help text. is_graph: whether it says how to
    compute, so that the normalisation can be in it. in_integers: whether it is the file of the run
    of an Int8Recipe. engine: name of the program that runs it, "" for this one.
    """

    suffix: str
    is_network: bool
    description: str
    is_graph: bool = False
    in_integers: bool = False
    engine: str = ""


EXPORT_FORMATS: dict[FormatName, ExportFormat] = {
    "packed": ExportFormat(
        ".secateur",
        True,
        "The packed file: the smallest one, which Secateur and its importer read.",
    ),
    "safetensors": ExportFormat(
        ".safetensors", True, "The weights in float, for PyTorch, with the model card."
    ),
    "onnx": ExportFormat(
        ".onnx",
        True,
        "The network in float, for ONNX Runtime and others. Dead channels leave it: the layers"
        " become smaller, and the answers stay the same.",
        is_graph=True,
        engine="ONNX Runtime",
    ),
    "onnx-int8": ExportFormat(
        ".onnx",
        True,
        "The network in 8-bit integers without its dead channels, for ONNX Runtime and others.",
        is_graph=True,
        in_integers=True,
        engine="ONNX Runtime",
    ),
    "openvino": ExportFormat(
        ".zip",
        True,
        "The network in float for OpenVINO: an .xml and a .bin in a .zip. Otherwise as onnx.",
        is_graph=True,
        engine="OpenVINO",
    ),
    "openvino-int8": ExportFormat(
        ".zip",
        True,
        "The network in 8-bit integers for OpenVINO. Its kernels round a little otherwise than ONNX"
        " Runtime's, so that the accuracy is measured again.",
        is_graph=True,
        in_integers=True,
        engine="OpenVINO",
    ),
    "masks": ExportFormat(
        ".safetensors", False, "For every prunable weight, whether it is kept: booleans."
    ),
    "metrics": ExportFormat(".csv", False, "The figures of every epoch, as a table."),
    "card": ExportFormat(".md", False, "The model card for people, in Markdown."),
}

assert set(EXPORT_FORMATS) == set(get_args(FormatName)), "every format has its facts"
