"""The packed file: a compressed network in one small safetensors file, which needs no pickle.

Han et al., "Deep Compression" (arXiv:1510.00149), section 4, with asymmetric numeral systems
instead of Huffman's codes. A file holds the arrays of `core.compress.packed.layout`, and the array
`manifest`: deflated JSON that lists the tensors in their order. The array `tables` is deflated,
too. The card of the network is in the metadata, in plain text.
"""

import hashlib
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors
from numpy.typing import NDArray
from pydantic import TypeAdapter
from safetensors.numpy import load as read_safetensors
from safetensors.numpy import save as write_safetensors
from torch import Tensor

from core.compress.affine import QuantizedWeight
from core.compress.packed.layout import ARRAY_TYPES, DTYPES, ManifestEntry
from core.compress.packed.ledger import Ledger, Tally, sum_parts
from core.compress.packed.reader import Reader
from core.compress.packed.writer import Writer
from core.errors import UserError
from core.files import write_atomically
from core.models import MODELS, TORCHVISION
from core.models.card import ModelCard, dataset_of
from core.models.tensor_file import header_of, with_sorted_metadata

_FORMAT = "secateur-packed-1"
_MOST_INFLATED = 1 << 24
"""The most bytes that an array is inflated to."""

_ALL_ARRAY_TYPES = {"manifest": np.uint8, **ARRAY_TYPES}
_MANIFEST = TypeAdapter(list[ManifestEntry])

_Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Packed:
    """The content of a packed file.

    tensors: the tensors of the state dict by name, in the model's order. card: the model card.
    ledger: where the bytes of the file go.
    """

    tensors: dict[str, Tensor | QuantizedWeight]
    card: ModelCard
    ledger: Ledger

    def state(self) -> dict[str, Tensor]:
        """The state dict for `load_state_dict`, with all weights decoded or dequantized."""
        return {
            name: item if isinstance(item, Tensor) else item.decode()
            for name, item in self.tensors.items()
        }


def save(
    path: str | Path,
    model_state: Mapping[str, Tensor | QuantizedWeight],
    card: ModelCard,
    rest: Literal["float32", "float16"] = "float32",
) -> Ledger:
    """Write the packed file at `path`, whole or not at all, and return where its bytes go.

    model_state: the state dict. A codebook or affine values may replace the weight that they
    approximate. A plain float32 tensor with at most 256 distinct nonzero values is stored as a
    codebook of these values, and any other one that has many zeros is stored without them. Both are
    exact, bit for bit.
    rest: the type of float32 numbers outside codebooks. In float16 they are rounded, unless they
    would overflow.

    Raises UserError as `pack` does. Han et al. (arXiv:1510.00149), section 4.
    """
    data, ledger = pack(model_state, card, rest)
    write_atomically(Path(path), data)
    return ledger


def load(path: str | Path) -> Packed:
    """Read a packed file, which may come from anybody.

    Raises UserError for a file that is missing, damaged or forged.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    return unpack(data, Path(path).name)


def pack(
    model_state: Mapping[str, Tensor | QuantizedWeight],
    card: ModelCard,
    rest: Literal["float32", "float16"] = "float32",
) -> tuple[bytes, Ledger]:
    """Return the bytes of the packed file and their ledger; see `save`.

    Raises UserError for a network that `unpack` would refuse: its name is in no registry, it has
    more than 17 million weights, and almost none of them are left.
    """
    writer = Writer(DTYPES[rest])
    for name, item in model_state.items():
        writer.add(name, item)
    arrays = writer.arrays()
    arrays["manifest"] = _deflated(_manifest_json(writer.entries))
    arrays["tables"] = _deflated(arrays["tables"].tobytes())
    metadata = {"format": _FORMAT, **_card_metadata(card)}
    metadata["sha256"] = _digest(arrays, metadata)
    data = with_sorted_metadata(write_safetensors(arrays, metadata))
    if _number_count(writer.entries) > _most_numbers(len(data), card.model):
        raise UserError(
            f"{card.model} is pruned so far that its file would be refused as implausible; keep"
            " more."
        )
    return data, _ledger(arrays, writer.tally, len(data))


def unpack(data: bytes, name: str = "the file") -> Packed:
    """Read the bytes of a packed file.

    Raises UserError, by `name`, for bytes that `pack` did not make. Nothing is allocated before the
    checksum is right and the shapes are plausible for a file of this size.
    """
    with _refusing(name):
        arrays, card = _arrays_and_card(data, name)
        entries = _MANIFEST.validate_json(_inflated(arrays["manifest"]))
        if len({entry.name for entry in entries}) != len(entries):
            raise ValueError("names that repeat")
        if _number_count(entries) > _most_numbers(len(data), card.model):
            raise ValueError("shapes that are too large")
        tables = np.frombuffer(_inflated(arrays["tables"]), np.uint8)
        reader = Reader({**arrays, "tables": tables})
        tensors = {entry.name: reader.read(entry) for entry in entries}
        reader.finish()
    return Packed(tensors, card, _ledger(arrays, reader.tally, len(data)))


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Turn whatever is wrong with somebody else's bytes into one UserError."""
    try:
        yield
    except (
        ValueError,
        TypeError,
        LookupError,
        OverflowError,
        RuntimeError,
        zlib.error,
        safetensors.SafetensorError,
    ) as error:
        raise UserError(
            f"{name} is not a packed network, or it is damaged; pack or download it again."
        ) from error


def _arrays_and_card(data: bytes, name: str) -> tuple[_Arrays, ModelCard]:
    """The arrays and the card of a file whose checksum is right."""
    metadata = dict(header_of(data).metadata)
    arrays: _Arrays = read_safetensors(data)
    types = {key: array.dtype for key, array in arrays.items()}
    if types != _ALL_ARRAY_TYPES or any(array.ndim != 1 for array in arrays.values()):
        raise ValueError("other tensors")
    if metadata.pop("sha256") != _digest(arrays, metadata):
        raise ValueError("the checksum is wrong")
    if metadata.pop("format") != _FORMAT:
        raise UserError(
            f"{name} was packed by another version of this program; pack the network again."
        )
    return arrays, _card_of(metadata)


def _number_count(entries: list[ManifestEntry]) -> int:
    """How many numbers all tensors have together."""
    return sum(math.prod(entry.shape) for entry in entries)


def _most_numbers(file_bytes: int, model: str) -> int:
    """How many numbers a file of this size may have.

    Pruned weights take almost no bytes, so the size alone does not tell. The limit is the number of
    parameters of the network that the file names, with a quarter more for BatchNorm's statistics,
    or a generous guess.
    """
    guess = 2**24 + 128 * file_bytes
    registry = MODELS | TORCHVISION
    if model not in registry:
        return guess
    return max(guess, registry[model].parameters * 5 // 4)


def _ledger(arrays: _Arrays, tally: Tally, total: int) -> Ledger:
    array_bytes = {name: array.nbytes for name, array in arrays.items()}
    return Ledger(
        float_bytes=tally.float_bytes,
        total=total,
        bound=tally.bound,
        **sum_parts(array_bytes, total),
    )


def _digest(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> str:
    """SHA-256 of the metadata, and of the names, shapes and bytes of the arrays."""
    digest = hashlib.sha256(json.dumps(dict(sorted(metadata.items()))).encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def _card_metadata(card: ModelCard) -> dict[str, str]:
    """The card as texts. The file calls the model "network", and its recipes name the data set."""
    fields = card.model_dump(exclude={"model", "dataset"})
    return {"network": card.model} | {name: json.dumps(value) for name, value in fields.items()}


def _card_of(metadata: Mapping[str, str]) -> ModelCard:
    """The card that `_card_metadata` wrote."""
    fields = {name: json.loads(text) for name, text in metadata.items() if name != "network"}
    card = ModelCard.model_validate({"model": metadata["network"], **fields})
    return card.model_copy(update={"dataset": dataset_of(card.recipes)})


def _manifest_json(entries: list[ManifestEntry]) -> bytes:
    manifest = [entry.model_dump(exclude_defaults=True) for entry in entries]
    return json.dumps(manifest, separators=(",", ":")).encode()


def _deflated(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(zlib.compress(data, 9), np.uint8)


def _inflated(array: NDArray[np.uint8]) -> bytes:
    """Raises ValueError for an array that is cut, or that would become too long."""
    stream = zlib.decompressobj()
    data = stream.decompress(array.tobytes(), _MOST_INFLATED)
    if not stream.eof or stream.unused_data:
        raise ValueError("a deflated array is cut or too long")
    return data
