"""The formats of an export, as a literal registry."""

from dataclasses import dataclass
from typing import Literal, get_args

FormatName = Literal["packed", "safetensors", "onnx", "onnx-int8", "masks", "metrics", "card"]


@dataclass(frozen=True)
class ExportFormat:
    """Facts about a format.

    suffix: of its files. is_network: whether the file can answer for images, so that its accuracy
    can be measured. description: one sentence for a help text.
    """

    suffix: str
    is_network: bool
    description: str


FORMATS: dict[FormatName, ExportFormat] = {
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
    ),
    "onnx-int8": ExportFormat(
        ".onnx",
        True,
        "The network in 8-bit integers without its dead channels, for ONNX Runtime and others.",
    ),
    "masks": ExportFormat(
        ".safetensors", False, "For every prunable weight, whether it is kept: booleans."
    ),
    "metrics": ExportFormat(".csv", False, "The figures of every epoch, as a table."),
    "card": ExportFormat(".md", False, "The model card for people, in Markdown."),
}

assert set(FORMATS) == set(get_args(FormatName)), "every format has its facts"
