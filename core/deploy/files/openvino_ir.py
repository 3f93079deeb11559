"""Writes and reads networks in OpenVINO's own format (IR): an .xml and a .bin, here in a .zip."""

import io
import tempfile
import zipfile
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from core.deploy.openvino_engine import OpenVinoEngine, read_network
from core.errors import UserError
from core.models.card import ModelCard
from core.models.saved import CARD_KEY

_XML = "network.xml"
_BIN = "network.bin"
_QUANTIZED = "_quantized"  # behind the names of integer weights, as in the ONNX file
_DATE = (2020, 1, 1, 0, 0, 0)  # of the files in the archive: no clock of this machine


def ir_zip(model: bytes) -> bytes:
    """Return the network of an ONNX file as a .zip with network.xml and network.bin.

    Weights stay as they are, float32 or int8. The names of the layers, the card and the classes
    come along. Raises UserError for a file that OpenVINO cannot read, and if it is not installed.
    """
    network = read_network(model)
    import openvino

    content = io.BytesIO()
    with tempfile.TemporaryDirectory(prefix="openvino-") as folder:
        path = Path(folder) / _XML
        openvino.save_model(network, path, compress_to_fp16=False)
        with zipfile.ZipFile(content, "w") as archive:
            for name in (_XML, _BIN):
                entry = zipfile.ZipInfo(name, _DATE)
                data = (Path(folder) / name).read_bytes()
                archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def read_ir_zip(content: bytes) -> tuple[bytes, bytes]:
    """Return the .xml and the .bin of such a .zip. Raises UserError if it is not one."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.read(_XML), archive.read(_BIN)
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, NotImplementedError) as error:
        raise UserError(
            f"This is not a .zip with {_XML} and {_BIN}, or it is damaged: export it again."
        ) from error


def ir_engine(content: bytes, threads: int | None = None) -> OpenVinoEngine:
    """Return the network in such a .zip, ready to run. Raises UserError as `read_ir_zip` does."""
    return OpenVinoEngine(*read_ir_zip(content), threads)


def card_in_ir(content: bytes) -> ModelCard:
    """Return the card of the network in such a .zip. Raises UserError if it has none."""
    network = read_network(*read_ir_zip(content))
    try:
        return ModelCard.model_validate_json(
            network.get_rt_info(["framework", CARD_KEY]).astype(str)
        )
    except (RuntimeError, ValidationError) as error:
        raise UserError("This file has no model card: export the network again.") from error


def weights_in_ir(content: bytes) -> dict[str, Tensor]:
    """Return the weights of the layers in such a .zip by their names in the network.

    Integer weights are returned as they are stored, int8 with 0 for zero.
    """
    weights = {}
    for operation in read_network(*read_ir_zip(content)).get_ordered_ops():
        name = operation.get_friendly_name()
        if operation.get_type_name() == "Constant" and _is_weight(name):
            values = torch.from_numpy(operation.data.copy())
            weights[name.removesuffix(_QUANTIZED)] = values
    return weights


def _is_weight(name: str) -> bool:
    return name.removesuffix(_QUANTIZED).endswith(".weight")
