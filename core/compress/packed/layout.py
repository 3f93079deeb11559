"""The layout of a packed file: the arrays that it holds, and the manifest that describes them.

All tensors lie one after the other in these few arrays, in the order of the manifest.
`core.compress.packed.writer` fills the arrays and `core.compress.packed.reader` reads them.
"""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from core.compress.quantization.qparams import integer_range

STREAMS = ("masks", "indices")
"""The arrays of entropy-coded words, as uint32."""

ARRAY_TYPES: dict[str, "np.dtype[Any]"] = {
    "tables": np.dtype("u1"),
    "codebooks": np.dtype("<f4"),
    "zero_points": np.dtype("u1"),
    "rest1": np.dtype("u1"),
    "rest2": np.dtype("<u2"),
    "rest4": np.dtype("<u4"),
    "rest8": np.dtype("<u8"),
}
"""The other arrays, with their types.

tables: codes of how often each symbol of a message occurs. codebooks: centroids and scales. rest1
to rest8: numbers that are not entropy-coded, by their size in bytes.
"""

DtypeName = Literal[
    "float32", "float16", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint8", "bool"
]

DTYPES: dict[DtypeName, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
    "int64": torch.int64,
    "int32": torch.int32,
    "int16": torch.int16,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "bool": torch.bool,
}
"""The types of tensors that a file can hold, by their names in the manifest."""

_Size = Annotated[int, Field(ge=0, lt=2**40)]


class ManifestEntry(BaseModel):
    """One tensor of the manifest.

    kind: "raw" for plain numbers; "sparse" for a mask and the numbers that are not zero; "codebook"
    for a `Codebook`, with a mask if it has pinned zeros; "affine" for an `Affine`.
    dtype, stored: of plain numbers, the type in the state dict and the type in the file.
    kept: how many numbers of a sparse tensor are in the file.
    clusters: of a codebook, the number of centroids.
    masked: of a codebook or affine values, whether there is a mask, which is False at zeros.
    bits, axis, symmetric: of affine values, as in `Affine`.
    mask_in_contexts: whether the mask is coded in contexts instead of by its frequencies alone.
    unit: of indices or integers that are coded in contexts, the code of the unit in which
    `core.compress.packed.levels` measures them; None if they are coded by their frequencies.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    kind: Literal["raw", "sparse", "codebook", "affine"]
    shape: Annotated[list[_Size], Field(max_length=8)]
    dtype: DtypeName = "float32"
    stored: DtypeName = "float32"
    clusters: int = Field(default=0, ge=0, le=256)
    masked: bool = False
    bits: int = Field(default=8, ge=2, le=8)
    axis: Literal[0] | None = None
    symmetric: bool = False
    kept: _Size = 0
    mask_in_contexts: bool = False
    unit: Annotated[int, Field(ge=-1200, le=1000)] | None = None

    @property
    def size(self) -> int:
        """The number of values."""
        return math.prod(self.shape)

    @property
    def has_mask(self) -> bool:
        """Whether the file holds a mask of the tensor."""
        return self.kind == "sparse" or self.masked

    @property
    def scale_shape(self) -> list[int]:
        """The shape of the scales of affine values."""
        return self.shape[:1] if self.axis == 0 else []

    @property
    def lowest(self) -> int:
        """The lowest integer of affine values. In the file it is the symbol 0."""
        lowest, _ = integer_range(self.bits, self.symmetric)
        return lowest

    @property
    def levels(self) -> int:
        """The number of different integers that affine values may have."""
        lowest, highest = integer_range(self.bits, self.symmetric)
        return highest - lowest + 1

    @property
    def table_size(self) -> int:
        """The number of symbols of its indices that the tables tell; 0 if contexts tell them."""
        if self.unit is not None:
            return 0
        if self.kind == "affine":
            return self.levels
        has_indices = self.kind == "codebook" and self.clusters > 1
        return self.clusters if has_indices else 0

    def array_lengths(self) -> dict[str, int]:
        """How many numbers of each array of `ARRAY_TYPES` belong to the tensor."""
        lengths = {"tables": self.table_size + 2 * self.has_mask}
        if self.kind == "codebook":
            lengths["codebooks"] = self.clusters
        elif self.kind == "affine":
            scales = math.prod(self.scale_shape)
            lengths["codebooks"] = scales
            lengths["zero_points"] = 0 if self.symmetric else scales
        else:
            numbers = self.kept if self.kind == "sparse" else self.size
            lengths[f"rest{DTYPES[self.stored].itemsize}"] = numbers
        return lengths


def array_lengths(entries: Iterable[ManifestEntry]) -> dict[str, int]:
    """The length of each array of `ARRAY_TYPES`, as the manifest tells it."""
    lengths: Counter[str] = Counter(dict.fromkeys(ARRAY_TYPES, 0))
    for entry in entries:
        lengths.update(entry.array_lengths())
    return dict(lengths)
