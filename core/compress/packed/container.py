"""The container of a packed file: its parts one after the other, with a checksum, as bytes.

The bytes are those of the only tensor, `packed`, of a safetensors file. They begin with the SHA-256
of all that follows, and the length of each part in four bytes. Other programs can so tell what the
file is, and the parts need no names and no header of their own. Needs no torch.
"""

import hashlib
import struct
from collections.abc import Mapping
from pathlib import Path

from core.models.tensor_file import read_header

TENSOR = "packed"
"""The name of the tensor whose bytes are the container."""

PARTS = ("manifest", "masks", "indices", "tables", "codebooks", "rest")

_DIGEST_BYTES = hashlib.sha256().digest_size
_LENGTHS = struct.Struct(f"<{len(PARTS)}I")
_START = _DIGEST_BYTES + _LENGTHS.size


def join_parts(parts: Mapping[str, bytes]) -> bytes:
    """The container of the parts, by the names in `PARTS`."""
    contents = [parts[name] for name in PARTS]
    body = _LENGTHS.pack(*map(len, contents)) + b"".join(contents)
    return hashlib.sha256(body).digest() + body


def split_parts(container: bytes) -> dict[str, bytes]:
    """Undo `join_parts`. Raises ValueError if the container is damaged."""
    lengths = _part_lengths(container[:_START], len(container))
    if hashlib.sha256(container[_DIGEST_BYTES:]).digest() != container[:_DIGEST_BYTES]:
        raise ValueError("the checksum is wrong")
    parts = {}
    position = _START
    for name, length in lengths.items():
        parts[name] = container[position : position + length]
        position += length
    return parts


def read_part_lengths(path: Path) -> dict[str, int]:
    """The length of each part of the packed file at `path`, without reading the parts.

    Raises OSError if the file cannot be read, and ValueError if it has no container.
    """
    header = read_header(path)
    if list(header.tensors) != [TENSOR]:
        raise ValueError("it has other tensors")
    container_bytes = header.tensors[TENSOR].nbytes
    with path.open("rb") as file:
        file.seek(path.stat().st_size - container_bytes)
        return _part_lengths(file.read(_START), container_bytes)


def _part_lengths(start: bytes, container_bytes: int) -> dict[str, int]:
    if len(start) < _START:
        raise ValueError("the container is cut")
    lengths = _LENGTHS.unpack(start[_DIGEST_BYTES:])
    if _START + sum(lengths) != container_bytes:
        raise ValueError("the parts do not fill the container")
    return dict(zip(PARTS, lengths, strict=True))
