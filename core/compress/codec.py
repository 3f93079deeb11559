"""The packed file: a compressed network as one safetensors file of few bytes, which needs no pickle.

Han et al., "Deep Compression" (arXiv:1510.00149), section 4, with asymmetric numeral systems for Huffman's codes.
A file holds the tensor `manifest`, deflated JSON that names what there is in which order, and those of
`core.compress.layout` that it describes, of which `tables` is deflated too. The card of the network is in the
metadata, in plain text.
"""

import hashlib
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import safetensors
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator
from safetensors.numpy import load as read_safetensors
from safetensors.numpy import save as write_safetensors
from torch import Tensor

from core.compress.affine import Affine
from core.compress.kmeans import Codebook
from core.compress.layout import BLOBS, DTYPES, Entry, Reader, Writer
from core.errors import UserError
from core.files import write_atomically
from core.models import MODELS, TORCHVISION

_FORMAT = "secateur-packed-1"
_HEADER_LIMIT = 1 << 24  # bytes, of the safetensors header and of what is inflated
_BLOBS = {"manifest": np.uint8, **BLOBS}
_manifest = TypeAdapter(list[Entry])


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Card(_Frozen):
    """What one has to know to use the weights.

    mean and std normalise pixels in [0, 1], one number a channel; side is the images' height and width in pixels.
    recipes is the chain that led here, from the first ancestor on, as plain data.
    """

    network: str = Field(min_length=1, max_length=200)
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[Annotated[float, Field(gt=0)], ...]
    side: int = Field(ge=1, le=65536)
    recipes: tuple[dict[str, Any], ...] = ()

    @model_validator(mode="after")
    def _channels(self) -> "Card":
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean and std must be of one length, got {len(self.mean)} and {len(self.std)}")
        return self


@dataclass(frozen=True)
class Ledger:
    """Where the bytes of a packed file are.

    float: the same tensors uncompressed, weights in float32. masks, indices: the entropy-coded streams.
    tables: how often each symbol occurs. codebooks: centroids, scales and zero points. rest: what is not coded.
    header: names, shapes, the card. total: all of these but float, which is the file's size on disk.
    bound: the entropy of masks and indices, which no code that knows only the frequencies of a layer can beat.
    """

    float: int
    masks: int
    indices: int
    tables: int
    codebooks: int
    rest: int
    header: int
    total: int
    bound: float

    @property
    def ratio(self) -> float:
        """How many times smaller the file is than the float weights."""
        return self.float / self.total


@dataclass(frozen=True, eq=False)
class Packed:
    """A packed file's content: `tensors` by name, in the model's order, the card and the ledger."""

    tensors: dict[str, Tensor | Codebook | Affine]
    card: Card
    ledger: Ledger

    def state(self) -> dict[str, Tensor]:
        """The state dict, codebooks and grids decoded, ready for `load_state_dict`."""
        return {name: item if isinstance(item, Tensor) else item.decode() for name, item in self.tensors.items()}


def save(path: str | Path, model_state: Mapping[str, Tensor | Codebook | Affine], card: Card,
         rest: Literal["float32", "float16"] = "float32") -> Ledger:
    """Write the packed file at `path`, whole or not at all, and say where its bytes are.

    model_state: the state dict, where a codebook or a grid may stand in for the weight that it approximates. A plain
        float32 tensor of at most 256 distinct nonzero values is stored as the codebook that it is, and of another one
        that has many zeros only the others, all bit for bit.
    rest: the format of float32 numbers outside codebooks. In float16 they are rounded, unless they would overflow.
    """
    data, ledger = pack(model_state, card, rest)
    write_atomically(Path(path), data)
    return ledger


def load(path: str | Path) -> Packed:
    """Read a packed file, from anybody. Raises UserError for one that is missing, damaged or made up."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    return unpack(data, Path(path).name)


def ledger(path: str | Path) -> Ledger:
    """The byte ledger of the packed file at `path`; raises as `load` does."""
    return load(path).ledger


def pack(model_state: Mapping[str, Tensor | Codebook | Affine], card: Card,
         rest: Literal["float32", "float16"] = "float32") -> tuple[bytes, Ledger]:
    """The bytes of the packed file and their ledger; see `save`.

    Raises UserError for a network of more than 17 million weights, unknown by its name, that has next to none left.
    """
    writer = Writer(DTYPES[rest])
    for name, item in model_state.items():
        writer.add(name, item)
    manifest = json.dumps([entry.model_dump(exclude_defaults=True) for entry in writer.entries], separators=(",", ":"))
    blobs = {"manifest": _deflated(manifest.encode()), **writer.blobs()}
    blobs["tables"] = _deflated(blobs["tables"].tobytes())
    metadata = {"format": _FORMAT, "network": card.network, **{
        field: json.dumps(value) for field, value in card.model_dump().items() if field != "network"}}
    metadata["sha256"] = _digest(blobs, metadata)
    data = _in_order(write_safetensors(blobs, metadata))
    if _values(writer.entries) > _most_values(len(data), card.network):
        raise UserError(f"{card.network} is pruned so far that its file would be refused as implausible; keep more.")
    return data, _ledger(blobs, writer.float, writer.bound, len(data))


def unpack(data: bytes, name: str = "the file") -> Packed:
    """The content of a packed file's bytes. Raises UserError, by `name`, for bytes that `pack` did not make.

    Nothing is allocated before the checksum agrees and the shapes are within what so many bytes may hold.
    """
    with _refusing(name):
        blobs, card = _blobs_and_card(data, name)
        entries = _manifest.validate_json(_inflated(blobs["manifest"]))
        if len({entry.name for entry in entries}) != len(entries):
            raise ValueError("names that repeat")
        if _values(entries) > _most_values(len(data), card.network):
            raise ValueError("shapes that are too large")
        reader = Reader({**blobs, "tables": np.frombuffer(_inflated(blobs["tables"]), np.uint8)})
        tensors = {entry.name: reader.read(entry) for entry in entries}
        reader.finish()
    return Packed(tensors, card, _ledger(blobs, reader.float, reader.bound, len(data)))


def _in_order(data: bytes) -> bytes:
    """A safetensors file with its metadata in the order of its keys, which the library leaves to chance."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length:]


def _values(entries: list[Entry]) -> int:
    return sum(math.prod(entry.shape) for entry in entries)


def _most_values(size: int, network: str) -> int:
    """Numbers that a file of `size` bytes may hold. Pruned weights take next to no bytes, so the file alone cannot
    tell: as many as the network that it names has, with room for BatchNorm's statistics, or a generous guess."""
    known = MODELS | TORCHVISION
    return max(2**24 + 128 * size, known[network].parameters * 5 // 4 if network in known else 0)


def _ledger(blobs: dict[str, np.ndarray], uncompressed: int, bound: float, total: int) -> Ledger:
    size = {name: array.nbytes for name, array in blobs.items()}
    parts = {"masks": size["masks"], "indices": size["indices"], "tables": size["tables"],
             "codebooks": size["codebooks"] + size["zero_points"], "rest": size["rest"]}
    return Ledger(float=uncompressed, **parts, header=total - sum(parts.values()), total=total, bound=bound)


def _digest(blobs: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(dict(sorted(metadata.items()))).encode())
    for name in sorted(blobs):
        digest.update(f"{name} {blobs[name].shape}".encode())
        digest.update(blobs[name].tobytes())
    return digest.hexdigest()


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Whatever is wrong with somebody else's bytes, in one sentence."""
    try:
        yield
    except (ValueError, TypeError, LookupError, OverflowError, RuntimeError, zlib.error,
            safetensors.SafetensorError) as error:
        raise UserError(f"{name} is not a packed network, or it is damaged; pack or download it again.") from error


def _blobs_and_card(data: bytes, name: str) -> tuple[dict[str, np.ndarray], Card]:
    """The tensors and the card of a file whose checksum agrees."""
    length = int.from_bytes(data[:8], "little")
    if not 0 < length <= min(_HEADER_LIMIT, len(data) - 8):
        raise ValueError("no header")
    blobs = read_safetensors(data)
    if {key: array.dtype for key, array in blobs.items()} != _BLOBS or any(array.ndim != 1 for array in blobs.values()):
        raise ValueError("other tensors")
    metadata = json.loads(data[8:8 + length])["__metadata__"]
    if metadata.pop("sha256") != _digest(blobs, metadata):
        raise ValueError("the checksum does not agree")
    if metadata.pop("format") != _FORMAT:
        raise UserError(f"{name} was packed by another version of this program; pack the network again.")
    fields = {key: value if key == "network" else json.loads(value) for key, value in metadata.items()}
    return blobs, Card.model_validate(fields)


def _deflated(data: bytes) -> np.ndarray:
    return np.frombuffer(zlib.compress(data, 9), np.uint8)


def _inflated(array: np.ndarray) -> bytes:
    stream = zlib.decompressobj()
    data = stream.decompress(array.tobytes(), _HEADER_LIMIT)
    if not stream.eof or stream.unused_data:
        raise ValueError("a deflated array is cut or too long")
    return data
