"""The layout of a packed file: the arrays that it holds, and the manifest that describes them.

All tensors lie one after the other in these few arrays, in the order of the manifest.
`core.compress.packed.writer` fills the arrays and `core.compress.packed.reader` reads them.
"""

from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from core.compress.quantization.qparams import integer_range

ARRAY_TYPES: dict[str, type[np.uint8 | np.uint32 | np.float32]] = {
    "masks": np.uint32,
    "indices": np.uint32,
    "tables": np.uint8,
    "codebooks": np.float32,
    "zero_points": np.uint8,
    "rest": np.uint8,
}
"""The arrays by name, with their types.

masks, indices: entropy-coded streams. tables: codes of how often each symbol of a stream occurs.
codebooks: centroids and scales. rest: the bytes of all numbers that are not entropy-coded.
"""

STREAMS = ("masks", "indices")

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
    clusters, masked: of a codebook, the number of centroids and whether there is a mask.
    bits, axis, symmetric: of affine values, as in `Affine`.
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
