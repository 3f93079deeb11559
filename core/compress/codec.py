"""The packed file: a compressed network in one small safetensors file, which needs no pickle.

Han et al., "Deep Compression" (arXiv:1510.00149), section 4, with asymmetric numeral systems
instead of Huffman's codes, and with contexts, see `core.compress.packed.contexts`. The only tensor
of the file is the container of `core.compress.packed.container`.
"""

import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import safetensors
from safetensors.numpy import load as read_safetensors
from safetensors.numpy import save as write_safetensors
from torch import Tensor

from core.compress.affine import QuantizedWeight
from core.compress.packed.container import TENSOR, join_parts, split_parts
from core.compress.packed.first_format import FIRST_FORMAT, open_first_format
from core.compress.packed.layout import DTYPES, ManifestEntry
from core.compress.packed.ledger import Ledger, Tally, sum_parts
from core.compress.packed.parts import OpenedFile, open_parts, write_parts
from core.compress.packed.writer import Writer
from core.errors import UserError
from core.files import write_atomically
from core.models import model_info
from core.models.card import ModelCard, dataset_of
from core.models.tensor_file import header_of

_FORMAT = "secateur-packed-2"
_MOST_PARAMETERS = 650_000_000
"""Those of the largest network of torchvision: timm's names reach further."""


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

    Raises UserError for a network that `unpack` would refuse: its name is unknown, it has
    more than 17 million weights, and almost none of them are left.
    """
    writer = Writer(DTYPES[rest])
    for name, item in model_state.items():
        writer.add(name, item)
    parts = write_parts(writer.arrays(), card, writer.entries)
    container = np.frombuffer(join_parts(parts), np.uint8)
    data = write_safetensors({TENSOR: container}, {"format": _FORMAT})
    if not _is_plausible(writer.entries, len(data), card.model):
        raise UserError(
            f"{card.model} is pruned so far that its file would be refused as implausible; keep"
            " more."
        )
    part_bytes = {name: len(part) for name, part in parts.items()}
    return data, _ledger(part_bytes, writer.tally, len(data))


def unpack(data: bytes, name: str = "the file") -> Packed:
    """Read the bytes of a packed file, also of the first format.

    Raises UserError, by `name`, for bytes that `pack` did not make. Nothing is allocated before the
    checksum is right and the shapes are plausible for a file of this size.
    """
    with _refusing(name):
        opened = _open(data, name)
        _check_entries(opened.entries, len(data), opened.card)
        reader = opened.reader()
        tensors = {entry.name: reader.read(entry) for entry in opened.entries}
        reader.finish()
    card = opened.card.model_copy(update={"dataset": dataset_of(opened.card.recipes)})
    return Packed(tensors, card, _ledger(opened.part_bytes, reader.tally, len(data)))


def _open(data: bytes, name: str) -> OpenedFile:
    """Read the manifest of a file of any known format."""
    metadata = dict(header_of(data).metadata)
    file_format = metadata.get("format", "")
    if file_format == FIRST_FORMAT:
        return open_first_format(data, metadata)
    if file_format != _FORMAT:
        if file_format.startswith("secateur-packed"):
            raise UserError(
                f"{name} was packed by another version of this program; pack the network again."
            )
        raise ValueError("another format")
    tensors = read_safetensors(data)
    if list(tensors) != [TENSOR] or tensors[TENSOR].dtype != np.uint8:
        raise ValueError("other tensors")
    return open_parts(split_parts(tensors[TENSOR].tobytes()))


def _check_entries(entries: list[ManifestEntry], file_bytes: int, card: ModelCard) -> None:
    """Raises ValueError for names that repeat, and for shapes that are not plausible."""
    if len({entry.name for entry in entries}) != len(entries):
        raise ValueError("names that repeat")
    if not _is_plausible(entries, file_bytes, card.model):
        raise ValueError("shapes that are too large")
    if any(entry.kept > entry.size for entry in entries):
        raise ValueError("more numbers than the shape has")


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


def _is_plausible(entries: list[ManifestEntry], file_bytes: int, model: str) -> bool:
    """Whether a file of this size may have so many numbers.

    Pruned weights take almost no bytes, so the size alone does not tell. The limit is the number of
    parameters of the network that the file names, with a quarter more for BatchNorm's statistics,
    or a generous guess.
    """
    numbers = sum(entry.size for entry in entries)
    if numbers <= 2**24 + 128 * file_bytes:
        return True
    try:
        parameters = model_info(model).parameters
    except UserError:
        return False
    return numbers <= min(parameters, _MOST_PARAMETERS) * 5 // 4


def _ledger(part_bytes: Mapping[str, int], tally: Tally, total: int) -> Ledger:
    return Ledger(
        float_bytes=tally.float_bytes,
        total=total,
        bound=tally.bound,
        **sum_parts(part_bytes, total),
    )
