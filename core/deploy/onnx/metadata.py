"""Reads and writes what an ONNX file says about its network: the model card and the classes."""

import json
from typing import TYPE_CHECKING

from pydantic import ValidationError

import core
from core.errors import UserError
from core.models.card import ModelCard
from core.models.saved import CARD_KEY

if TYPE_CHECKING:
    from onnx import ModelProto

PRODUCER = "Secateur"

CLASSES_KEY = "classes"
"""The name of the class names, a JSON list, in the file's metadata. Other programs read it too."""


def parse_onnx(model: bytes) -> "ModelProto":
    """Return the content of an ONNX file. Raises UserError if it is not one."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        proto = onnx.load_from_string(model)
    except DecodeError as error:
        raise UserError("This is not an ONNX file, or it is damaged.") from error
    if not proto.graph.node:
        raise UserError("This is not an ONNX file: it has no graph.")
    return proto


def set_card_(proto: "ModelProto", card: ModelCard) -> None:
    """Write the card, the classes and the producer into the model, in place of older ones."""
    import onnx

    texts = {CARD_KEY: card.model_dump_json(), CLASSES_KEY: json.dumps(card.classes)}
    onnx.helper.set_model_props(proto, texts)
    proto.producer_name = PRODUCER
    proto.producer_version = core.__version__


def with_card(model: bytes, card: ModelCard) -> bytes:
    """Return the ONNX file with this card. Raises UserError if it is not an ONNX file."""
    proto = parse_onnx(model)
    set_card_(proto, card)
    content: bytes = proto.SerializeToString()
    return content


def card_of(model: bytes) -> ModelCard:
    """Return the card of an ONNX file. Raises UserError if Secateur did not write it."""
    texts = {entry.key: entry.value for entry in parse_onnx(model).metadata_props}
    try:
        return ModelCard.model_validate_json(texts[CARD_KEY])
    except (KeyError, ValidationError) as error:
        raise UserError("This ONNX file has no model card: export the network again.") from error
