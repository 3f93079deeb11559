"""Find the images and the labels among the columns of a Parquet file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from core.data.folder.source_files import printable
from core.errors import UserError

_IMAGE_NAMES = ("image", "img", "images", "picture")
_LABEL_NAMES = ("label", "labels", "fine_label", "class", "target", "category", "y")
_SPLIT_NAMES = ("split", "subset", "partition")


@dataclass(frozen=True)
class Columns:
    """The columns of a Parquet file that are read.

    image, label: their names. split: that of a column of texts such as "train"; None if there is
    none. is_struct: whether an image is {bytes, path}, or only bytes. classes: names of the labels
    0, 1, ...; None if the file has none.
    """

    image: str
    label: str
    split: str | None
    is_struct: bool
    classes: tuple[str, ...] | None


def find_columns(schema: pa.Schema, what: str) -> Columns:
    """Return the columns of images and labels. Raises UserError if they cannot be told.

    what: the name of the file in messages.
    """
    features = _features(schema)
    images = [field.name for field in schema if _holds_images(field.type)]
    image = _choose(images, _of_type(features, "Image"), _IMAGE_NAMES)
    if image is None:
        raise UserError(
            f"{what} has no column that is clearly the images: it takes one named image, which"
            f" holds {{bytes, path}} or bytes. Its columns are: {_listed(schema.names)}."
        )
    labels = [field.name for field in schema if _holds_labels(field.type)]
    label = _choose(labels, _of_type(features, "ClassLabel"), _LABEL_NAMES, only=False)
    if label is None:
        raise UserError(
            f"{what} has no column that is clearly the labels: it takes one named label, which"
            f" holds integers or texts. Its columns are: {_listed(schema.names)}."
        )
    texts = {field.name for field in schema if _holds_texts(field.type)}
    split = next((name for name in _SPLIT_NAMES if name in texts - {label}), None)
    is_struct = pa.types.is_struct(schema.field(image).type)
    return Columns(image, label, split, is_struct, _class_names(features, label))


def _choose(
    candidates: Sequence[str], marked: Sequence[str], names: Sequence[str], only: bool = True
) -> str | None:
    """Return one candidate: the one that is marked, or has the first of the names.

    only: whether a single candidate is taken whatever its name is.
    """
    candidates_marked = [name for name in candidates if name in marked]
    for group in (candidates_marked, candidates):
        named = [name for name in names if name in group]
        if named:
            return named[0]
        if len(group) == 1 and (only or group is candidates_marked):
            return group[0]
    return None


def _features(schema: pa.Schema) -> dict[str, Any]:
    """Return the columns' descriptions that Hugging Face's library writes; {} if there are none.

    They are JSON, {"info": {"features": {"label": {"_type": "ClassLabel", "names": [...]}}}}.
    """
    text = (schema.metadata or {}).get(b"huggingface")
    if text is None:
        return {}
    try:
        features = json.loads(text)["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    if not isinstance(features, dict):
        return {}
    return {name: value for name, value in features.items() if isinstance(value, dict)}


def _of_type(features: dict[str, Any], kind: str) -> list[str]:
    return [name for name, feature in features.items() if feature.get("_type") == kind]


def _class_names(features: dict[str, Any], label: str) -> tuple[str, ...] | None:
    names = features.get(label, {}).get("names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return tuple(names)


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _is_binary(kind.field(index).type)
    return _is_binary(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _holds_labels(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind)) or _holds_texts(kind)


def _holds_texts(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _holds_texts(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _listed(names: Sequence[str]) -> str:
    return printable(", ".join(names))[:300] or "none"
