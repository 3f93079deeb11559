"""The ledger of a packed file: where its bytes go. Needs only the file's header, and no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.compress.packed.entropy import entropy
from core.errors import UserError
from core.models.tensor_file import read_header

_ARRAYS_OF_PART = {
    "masks": ["masks"],
    "indices": ["indices"],
    "tables": ["tables"],
    "codebooks": ["codebooks", "zero_points"],
    "rest": ["rest"],
}
"""The arrays of the file whose bytes each part of the ledger adds up."""


@dataclass(frozen=True)
class Ledger:
    """The bytes of a packed file.

    float_bytes: the same tensors uncompressed, with weights in float32.
    masks, indices: the entropy-coded streams.
    tables: how often each symbol occurs.
    codebooks: centroids, scales and zero points.
    rest: the numbers that are not entropy-coded.
    header: names, shapes and the card.
    total: the file's size on disk, which is the sum of the six parts before.
    bound: the entropy of masks and indices. No code that knows only the frequencies of the symbols
    in a layer takes fewer bytes.
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
    """The bytes of the six parts of a packed file, by their names in `Ledger`, from its header.

    Raises UserError for a file that cannot be read or that is no packed file.
    """
    try:
        header = read_header(path)
        array_bytes = {name: tensor.nbytes for name, tensor in header.tensors.items()}
        return sum_parts(array_bytes, path.stat().st_size)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is no packed file, or it is damaged ({error}).") from error


def sum_parts(array_bytes: Mapping[str, int], file_bytes: int) -> dict[str, int]:
    """The bytes of the six parts, from those of the file's arrays and of the whole file.

    Raises KeyError if an array is missing.
    """
    parts = {
        part: sum(array_bytes[array] for array in arrays)
        for part, arrays in _ARRAYS_OF_PART.items()
    }
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
