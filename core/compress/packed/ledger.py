"""The ledger of a packed file: where its bytes go. Needs only the file's start, and no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.compress.packed.container import TENSOR, read_part_lengths
from core.compress.packed.entropy import entropy
from core.errors import UserError
from core.models.tensor_file import read_header

_PARTS = ("masks", "indices", "tables", "codebooks", "rest")
"""The parts of the ledger but the header, which is what is left of the file."""


@dataclass(frozen=True)
class Ledger:
    """The bytes of a packed file.

    float_bytes: the same tensors uncompressed, with weights in float32.
    masks, indices: the entropy-coded streams.
    tables: how often each symbol occurs.
    codebooks: centroids, scales and zero points.
    rest: the other numbers, such as biases and float weights.
    header: names, shapes and the card.
    total: the file's size on disk, which is the sum of the six parts before.
    bound: the entropy of masks and indices by the frequencies of the symbols in each layer.
    Contexts take fewer bytes, because they know more than the frequencies.
    """

    float_bytes: int
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
        return self.float_bytes / self.total


def packed_parts(path: Path) -> dict[str, int]:
    """The bytes of the six parts of a packed file, by their names in `Ledger`, from its start.

    Raises UserError for a file that cannot be read or that is no packed file.
    """
    try:
        header = read_header(path)
        if TENSOR in header.tensors:
            part_bytes = read_part_lengths(path)
        else:  # the first format, whose parts are tensors of their own
            part_bytes = {name: tensor.nbytes for name, tensor in header.tensors.items()}
        return sum_parts(part_bytes, path.stat().st_size)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is no packed file, or it is damaged ({error}).") from error


def sum_parts(part_bytes: Mapping[str, int], file_bytes: int) -> dict[str, int]:
    """The bytes of the six parts of the ledger, from those of the file's parts and of the file.

    Raises KeyError if a part is missing.
    """
    parts = {name: part_bytes[name] for name in _PARTS}
    # In the first format, the zero points were a part of their own.
    parts["codebooks"] += part_bytes.get("zero_points", 0)
    return parts | {"header": file_bytes - sum(parts.values())}


class Tally:
    """Adds up what only the tensors tell, while a file is written or read.

    float_bytes: bytes of the tensors uncompressed. bound: bytes of their symbols by their entropy.
    """

    def __init__(self) -> None:
        self.float_bytes = 0
        self.bound = 0.0

    def add(self, tensor_bytes: int, symbol_counts: list[NDArray[np.int64]]) -> None:
        """Add one tensor. symbol_counts: for each of its messages, how often each symbol occurs."""
        bits = sum(entropy(counts) for counts in symbol_counts)
        self.float_bytes += tensor_bytes
        self.bound += bits / 8
