"""Reads and writes the headers of safetensors files, without loading tensors and without torch.

A file has the header's length in 8 bytes (little-endian), the header in JSON, and the bytes of the
tensors (https://github.com/huggingface/safetensors#format). The file may come from anybody, so the
whole header is checked before it is returned.
"""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

MAX_HEADER = 16 * 2**20
"""The largest header that is read, in bytes."""

_LENGTH_BYTES = 8
_METADATA = "__metadata__"
_BYTES_PER_VALUE = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 8),
}


@dataclass(frozen=True)
class TensorEntry:
    """What the header says about one tensor.

    dtype: type of the values in the format's words, such as "F32". shape: size of each dimension,
    () for a single number. nbytes: size of the values in bytes.
    """

    dtype: str
    shape: tuple[int, ...]
    nbytes: int


@dataclass(frozen=True)
class TensorHeader:
    """The header of a file.

    tensors: the tensors by name, in the header's order. metadata: texts by name, which say what
    the file is.
    """

    tensors: dict[str, TensorEntry]
    metadata: dict[str, str]


def read_header(path: Path) -> TensorHeader:
    """Read the header of the file at `path`.

    Raises OSError if the file cannot be read, and ValueError if it is not a safetensors file, is
    damaged, or has a header of more than `MAX_HEADER` bytes.
    """
    with path.open("rb") as file:
        file_size = os.fstat(file.fileno()).st_size
        length = _header_length(file.read(_LENGTH_BYTES), file_size)
        text = file.read(length)
    return _parse_header(text, data_size=file_size - _LENGTH_BYTES - length)


def header_of(data: bytes) -> TensorHeader:
    """Read the header of a file whose bytes are `data`. Raises ValueError as `read_header` does."""
    length = _header_length(data[:_LENGTH_BYTES], len(data))
    text = data[_LENGTH_BYTES : _LENGTH_BYTES + length]
    return _parse_header(text, data_size=len(data) - _LENGTH_BYTES - length)


def with_sorted_metadata(data: bytes) -> bytes:
    """Sort the metadata in a file's bytes by name; the file must have metadata.

    The safetensors library writes it in random order. Sorted, equal content gives equal bytes.
    """
    length = _header_length(data[:_LENGTH_BYTES], len(data))
    header = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + length])
    header[_METADATA] = dict(sorted(header[_METADATA].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    padding = b" " * (-len(text) % 8)  # the tensors begin at a multiple of 8 bytes
    new_length = len(text) + len(padding)
    tensors = data[_LENGTH_BYTES + length :]
    return new_length.to_bytes(_LENGTH_BYTES, "little") + text + padding + tensors


class _JsonEntry(BaseModel):
    """What the JSON says about one tensor."""

    model_config = ConfigDict(strict=True)

    dtype: str
    shape: Annotated[list[Annotated[int, Field(ge=0, lt=2**63)]], Field(max_length=64)]
    data_offsets: Annotated[list[int], Field(min_length=2, max_length=2)]


_ENTRIES_ADAPTER = TypeAdapter(dict[str, _JsonEntry])
_METADATA_ADAPTER = TypeAdapter(dict[str, str])


def _header_length(first_bytes: bytes, file_size: int) -> int:
    length = int.from_bytes(first_bytes, "little")
    largest = min(MAX_HEADER, file_size - _LENGTH_BYTES)
    if not 0 < length <= largest:
        raise ValueError(f"a header must have 1 to {largest} bytes, got {length}")
    return length


def _parse_header(text: bytes, data_size: int) -> TensorHeader:
    """Read the JSON, and check that it describes exactly the `data_size` bytes after it."""
    try:
        content = json.loads(text.decode(), object_pairs_hook=_refuse_repeated_names)
    except RecursionError as error:
        raise ValueError("the header's JSON is nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError("the header is not a JSON object")
    metadata = content.pop(_METADATA, None)
    metadata = {} if metadata is None else _METADATA_ADAPTER.validate_python(metadata, strict=True)
    entries = _ENTRIES_ADAPTER.validate_python(content, strict=True)
    _check_offsets(entries, data_size)
    tensors = {name: _checked_entry(name, entry) for name, entry in entries.items()}
    return TensorHeader(tensors, metadata)


def _refuse_repeated_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a name occurs twice in the header")
    return content


def _check_offsets(entries: dict[str, _JsonEntry], data_size: int) -> None:
    """Check that the tensors lie one after the other, without gaps, up to the end of the file."""
    position = 0
    for begin, end in sorted(entry.data_offsets for entry in entries.values()):
        if begin != position or end < begin:
            raise ValueError("the tensors overlap or leave gaps")
        position = end
    if position != data_size:
        raise ValueError(f"the tensors need {position} bytes, and the file has {data_size}")


def _checked_entry(name: str, entry: _JsonEntry) -> TensorEntry:
    if entry.dtype not in _BYTES_PER_VALUE:
        raise ValueError(f"tensor {name!r} has the unknown type {entry.dtype!r}")
    begin, end = entry.data_offsets
    needed = math.prod(entry.shape) * _BYTES_PER_VALUE[entry.dtype]
    if needed != end - begin:
        raise ValueError(f"tensor {name!r} needs {needed} bytes, and has {end - begin}")
    return TensorEntry(entry.dtype, tuple(entry.shape), end - begin)
