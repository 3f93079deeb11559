"""How the tensors of a packed file lie in its few arrays, one after the other in the order of the manifest.

Writer and Reader are each other's mirror: per kind of entry, what the one appends the other takes, in the same order.
"""

import math
from collections import Counter
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from core.compress.affine import Affine
from core.compress.entropy import Decoder, encode, entropy, rough
from core.compress.kmeans import Codebook, exact_codebook

# masks and indices: the entropy-coded streams; tables: how often each symbol occurs; codebooks: centroids and scales;
# rest: the bytes of all that is not coded.
BLOBS = {"masks": np.uint32, "indices": np.uint32, "tables": np.uint8, "codebooks": np.float32,
         "zero_points": np.uint8, "rest": np.uint8}
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in (
    torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.bool)}
_WORDS = {dtype: word for word, dtype in DTYPES.items()}
_Dtype = Literal[tuple(DTYPES)]


class Entry(BaseModel):
    """One tensor of the manifest.

    raw: `dtype` in the state dict, `stored` in `rest`. sparse: the same of its nonzero numbers, and their mask.
    codebook: `clusters` centroids, a mask if there are pinned zeros, indices. affine: the fields of `Affine`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    kind: Literal["raw", "sparse", "codebook", "affine"]
    shape: Annotated[list[Annotated[int, Field(ge=0, lt=2**40)]], Field(max_length=8)]
    dtype: _Dtype = "float32"
    stored: _Dtype = "float32"
    clusters: int = Field(0, ge=0, le=256)
    masked: bool = False
    bits: int = Field(8, ge=2, le=8)
    axis: Literal[0] | None = None
    symmetric: bool = False

    @property
    def levels(self) -> int:
        """Different values that an affine weight may have."""
        return 2**self.bits - self.symmetric

    @property
    def lowest(self) -> int:
        """The least of them."""
        return 1 - 2 ** (self.bits - 1) if self.symmetric else 0


def coded_bytes(item: Codebook | Affine) -> float:
    """What a weight takes in the packed file: the entropy of its mask and indices, and its centroids or scales.

    Without its name and without the table of its symbols, which are about a hundred bytes.
    """
    if isinstance(item, Affine):
        counts = np.bincount(_numpy(item.values).view(np.uint8), minlength=2)
        return entropy(counts) / 8 + item.scale.numel() * (4 if item.symmetric else 5)
    counts = item.counts().cpu().numpy()
    masks = np.array([item.indices.numel() - counts.sum(), counts.sum()])
    return (entropy(counts) + entropy(masks)) / 8 + 4 * len(counts)


class _Tally:
    """What both sides learn on the way: the bytes of the tensors uncompressed, and of their symbols at least."""

    def __init__(self):
        self.float, self.bound = 0, 0.0

    def count(self, tensor_bytes: int, *counts: np.ndarray) -> None:
        self.float += tensor_bytes
        self.bound += sum(map(entropy, counts)) / 8


class Writer(_Tally):
    """Collects entries and the arrays that they describe; `rest` is the stored format of float32 outside codebooks."""

    def __init__(self, rest: torch.dtype):
        super().__init__()
        self.entries: list[Entry] = []
        self._rest = rest
        self._messages: dict[str, list] = {"masks": [], "indices": []}
        self._arrays: dict[str, list] = {name: [] for name in BLOBS.keys() - self._messages}

    def blobs(self) -> dict[str, np.ndarray]:
        """All arrays of `BLOBS`, each one-dimensional."""
        joined = {name: np.concatenate([np.empty(0, BLOBS[name]), *arrays]) for name, arrays in self._arrays.items()}
        return joined | {name: encode(messages) for name, messages in self._messages.items()}

    def add(self, name: str, item: Tensor | Codebook | Affine) -> None:
        """Append a tensor of the state dict in the kind that it is, or that is smallest without loss."""
        if isinstance(item, Affine):
            self._add_affine(name, item)
        elif isinstance(item, Codebook):
            self._add_codebook(name, item)
        elif (codebook := exact_codebook(item)) is not None and self._worth(codebook):
            self._add_codebook(name, codebook)
        else:
            self._add_numbers(name, item.detach().cpu().contiguous())

    def _worth(self, codebook: Codebook) -> bool:
        """Whether the codebook, with its table of symbols, is smaller than the plain numbers."""
        return coded_bytes(codebook) + codebook.centroids.numel() + 16 < codebook.indices.numel() * self._rest.itemsize

    def _add_codebook(self, name: str, item: Codebook) -> None:
        self.entries.append(Entry(name=name, kind="codebook", shape=list(item.indices.shape),
                                  clusters=item.centroids.numel(), masked=item.mask is not None))
        self._arrays["codebooks"].append(_numpy(item.centroids))
        indices = item.indices
        counts = []
        if item.mask is not None:
            indices = indices[item.mask]
            counts.append(self._code("masks", _numpy(item.mask).view(np.uint8), 2))
        if item.centroids.numel() > 1:
            counts.append(self._code("indices", _numpy(indices), item.centroids.numel()))
        self.count(4 * item.indices.numel(), *counts)

    def _add_affine(self, name: str, item: Affine) -> None:
        entry = Entry(name=name, kind="affine", shape=list(item.values.shape), bits=item.bits, axis=item.axis,
                      symmetric=item.symmetric)
        self.entries.append(entry)
        self._arrays["codebooks"].append(_numpy(item.scale))
        if not item.symmetric:
            self._arrays["zero_points"].append(_numpy(item.zero_point).astype(np.uint8))
        symbols = (_numpy(item.values).astype(np.int16) - entry.lowest).astype(np.uint8)
        self.count(4 * symbols.size, self._code("indices", symbols, entry.levels))

    def _add_numbers(self, name: str, item: Tensor) -> None:
        stored, kept = self._stored(item), item != 0
        if item.is_floating_point():
            kept |= item.signbit()
        counts = np.bincount(_numpy(kept), minlength=2)
        sparse = counts[0] * stored.itemsize > entropy(counts) / 8 + 16
        self.entries.append(Entry(name=name, kind="sparse" if sparse else "raw", shape=list(item.shape),
                                  dtype=_WORDS[item.dtype], stored=_WORDS[stored]))
        if sparse:
            self._code("masks", _numpy(kept).view(np.uint8), 2)
        numbers = (item[kept] if sparse else item.flatten()).to(stored)
        self._arrays["rest"].append(torch.empty_like(numbers).copy_(numbers).view(torch.uint8).numpy())
        self.count(item.numel() * item.itemsize, *([counts] if sparse else []))

    def _stored(self, item: Tensor) -> torch.dtype:
        """The format on disk: `rest` for float32 numbers, unless some of them would become infinite."""
        if item.dtype != torch.float32 or item.to(self._rest).isfinite().ne(item.isfinite()).any():
            return item.dtype
        return self._rest

    def _code(self, stream: str, symbols: np.ndarray, alphabet: int) -> np.ndarray:
        """Append the symbols, uint8 below `alphabet`, to a stream; their counts."""
        counts = np.bincount(symbols, minlength=alphabet)
        codes = rough(counts)
        self._arrays["tables"].append(codes)
        self._messages[stream].append((symbols, codes))
        return counts


class Reader(_Tally):
    """Takes the tensors out of the arrays again, in order. Raises ValueError where the arrays do not hold them.

    Whoever calls `read` has bounded the shapes.
    """

    def __init__(self, blobs: dict[str, np.ndarray]):
        super().__init__()
        self._blobs, self._taken = blobs, Counter()
        self._streams = {name: Decoder(blobs[name]) for name in ("masks", "indices")}

    def read(self, entry: Entry) -> Tensor | Codebook | Affine:
        """The next tensor."""
        return {"codebook": self._codebook, "affine": self._affine}.get(entry.kind, self._numbers)(entry)

    def finish(self) -> None:
        """Check that nothing is left over."""
        for stream in self._streams.values():
            stream.finish()
        for name in BLOBS.keys() - self._streams.keys():
            if self._taken[name] != len(self._blobs[name]):
                raise ValueError(f"{name} holds more than the manifest names")

    def _codebook(self, entry: Entry) -> Codebook:
        centroids, size, counts = self._take("codebooks", entry.clusters), math.prod(entry.shape), []
        if not np.isfinite(centroids).all() or (np.diff(centroids) < 0).any():
            raise ValueError("centroids that are not sorted numbers")
        mask, kept = None, size
        if entry.masked:
            flags = self._decode("masks", size, 2, counts)
            mask, kept = torch.from_numpy(flags.view(np.bool_)).view(entry.shape), int(flags.sum())
        if kept and not entry.clusters:
            raise ValueError("weights without a codebook")
        indices = torch.zeros(entry.shape, dtype=torch.uint8)
        if entry.clusters > 1:
            symbols = torch.from_numpy(self._decode("indices", kept, entry.clusters, counts))
            indices = symbols.view(entry.shape) if mask is None else indices.masked_scatter_(mask, symbols)
        self.count(4 * size, *counts)
        return Codebook(torch.from_numpy(centroids), indices, mask)

    def _affine(self, entry: Entry) -> Affine:
        shape = entry.shape[:1] if entry.axis == 0 else []
        scale, size, counts = self._take("codebooks", math.prod(shape)), math.prod(entry.shape), []
        if (entry.axis == 0 and not shape) or not (np.isfinite(scale) & (scale > 0)).all():
            raise ValueError("scales that are not positive numbers")
        zero_point = np.zeros(scale.shape, np.int32)
        if not entry.symmetric:
            zero_point[:] = self._take("zero_points", len(scale))
        symbols = self._decode("indices", size, entry.levels, counts)
        values = (symbols.astype(np.int16) + entry.lowest).astype(np.int8 if entry.symmetric else np.uint8)
        self.count(4 * size, *counts)
        return Affine(torch.from_numpy(values).view(entry.shape), torch.from_numpy(scale).view(shape),
                      torch.from_numpy(zero_point).view(shape), entry.bits, entry.axis)

    def _numbers(self, entry: Entry) -> Tensor:
        dtype, stored, kept, counts = DTYPES[entry.dtype], DTYPES[entry.stored], math.prod(entry.shape), []
        mask = None
        if entry.kind == "sparse":
            flags = self._decode("masks", kept, 2, counts)
            mask, kept = torch.from_numpy(flags.view(np.bool_)).view(entry.shape), int(flags.sum())
        numbers = torch.empty(kept, dtype=stored)
        numbers.view(torch.uint8).copy_(torch.from_numpy(self._take("rest", kept * stored.itemsize)))
        numbers = numbers.to(dtype)
        self.count(math.prod(entry.shape) * dtype.itemsize, *counts)
        if mask is None:
            return numbers.view(entry.shape)
        return torch.zeros(entry.shape, dtype=dtype).masked_scatter_(mask, numbers)

    def _take(self, name: str, count: int) -> np.ndarray:
        """A copy of the next `count` numbers of an array."""
        start = self._taken[name]
        if start + count > len(self._blobs[name]):
            raise ValueError(f"{name} holds less than the manifest names")
        self._taken[name] += count
        return self._blobs[name][start:start + count].copy()

    def _decode(self, stream: str, count: int, alphabet: int, counts: list) -> np.ndarray:
        """The next symbols of a stream; notes how often each occurs."""
        symbols = self._streams[stream].read(self._take("tables", alphabet), count)
        counts.append(np.bincount(symbols, minlength=alphabet))
        return symbols


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().reshape(-1)
