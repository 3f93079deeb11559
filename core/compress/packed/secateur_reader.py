"""Reads a packed network of Secateur. Needs numpy, safetensors and constriction, and no PyTorch.

from secateur_reader import load
tensors, card = load("packed.secateur")
print(card["model"], {name: array.shape for name, array in tensors.items()})
"""

import base64
import hashlib
import io
import json
import math
import zlib
from collections.abc import Iterator
from functools import partial
from itertools import combinations, islice, pairwise, product
from typing import Any

import constriction
import numpy as np
from safetensors import safe_open

Array = Any  # one of numpy's
AnsCoder = constriction.stream.stack.AnsCoder
Categorical = constriction.stream.model.Categorical
OCTAVES = np.array([-8, *((n**8).bit_length() - 1 for n in range(1, 1 << 16))])
octaves = partial(OCTAVES.take, mode="clip")  # floor(8 log2(n))
EIGHTHS = [256, 279, 304, 332, 362, 395, 431, 470]  # 256 * 2^(i / 8)
COUNTS = np.array([0, *(eighth << octave for octave in range(32) for eighth in EIGHTHS)])
SCALES = (-12, -8, -5, -3, -1, 1, 3, 5, 8)  # bounds of the classes that make a context
MASK_SCALES = (-24, -16, -11, -7, -3, 0, 4, 9, 15)
PREDICTIONS = (-96, -58, -32, -13, 13, 32, 58, 96)
INVERSES = np.array([1707, 1218, 899, 724, 609, 512, 431, 362, 292, 197])  # 512 / scale
ABSENT = {"dtype": "float32", "stored": "float32", "clusters": 0, "bits": 8, "unit": None}
ABSENT |= {"masked": False, "mask_in_contexts": False, "axis": None, "symmetric": False}
TEXT = "c-oy-QE%Hg4E`^Aog3JW<FtMoZn)uq!#(WbUWUS;Z936nNrogR&5Hi_Bjwm}+HS)Rfh>y>$&Vi?I^u+KxA&#7awj4ob=h0<tsJE!FoO@0RVBgE8oWpCrP1_`x;713dTSB<V9~9Tcr~lm9XKajiFUP=8hyO3Iyj@vXumNh?LhS%E)Q3FeO*9LyDXHpVMD;em_|Y)rLm@w(b&+)X>4iS(|8ckGaV<b;#nwy+=)VbLH7^(G@gK>6UA2n()Jx_b_0Vq%2e{L&jv%#jbX-G8>YRnjt{!M>}m3Ls1M>X5(+_+;dqtZZz6hba(>1+Z8_hBoiu%j_?d<0=0@ouVQF@sraWc&W~rBLStDDs;WSTzP1&F**w*EBokqf9E&CAPvp7gi+Cr+{SdOLT_==I0m4g;3y^dm`t%<3BKYvb`&IUX<^d$Ktchd8b>P&^hB~Y}`Ib>>%vSx$z(13V}W{2K_)C;43BeB1^vHHhfe}4Rua6)=JPznk?bltq5%%R_#0N$eoFOPWVbYOelacA9j=5!+(k2DmP^k-4Tt9Wy%yOX4pO~@<o^}clS`|LPKn6`w-tc}Hz!IMcmLKg~Tr|2$-f|8Ak<;9>igKpet?1e5%Z|XfQxACp7B)um%mVqTq58D_NFCQXtxttBwFhY+Rydzl65b|a;*5^8u=t5c>C-p0t^T<4esYnUL4wQn6+YT!1N~etRd#QK9)gq#ikC4JrD%hc$WW<D|401mxNW&pE;pKqXmv}^b4)leks@QSN8Kr`BK_}cYv8bD{=DG<SX=BxuP-3Bz6{Q|0&Z*^a<xtMSuek-x0B#LNQyD_rj?7eCzy(p?qb=(_Xw79gT6Jed<zr=ibq#tKu8GtNo~FJ<2A*I37uIl}eueeGZNP>8G*H^u9p7fDCEGdNh3yX?#4PG4G~mt@=>Cq@xXJky@3j)+sqW(BosxW;?UzSVp4tQV5)EpsHhoO4ZTdCSZVx>j`<mp@ntzWI`P8G}Nsd4kl#hUi5K_kMUfj&znD~t^{tQ*d92Va4Z1#3bp8|Ja-bXjQDk)Bi!Q+#6x9;z@+XaBYVM6ZT57_lEeF8=Zn<R~Rj3^p^W+~;$=UKRj)KQw7f;eDLPLr7L$os(FLsRKwr3Y1B+Eq!3t2x3Mn1#~<)z6@ef*(1dKCG!Zl;P|21M7MA_$&3}SfanFefj(GyK1kK^fSf(0A)nrw*"  # noqa: E501 - one long text
DICTIONARY = zlib.decompress(base64.b85decode(TEXT))  # what most manifests hold


def load(path: str, most: int = 1 << 28) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the state dict by name, bit for bit as Secateur loads it, and the network's card.

    numpy lacks bfloat16, which becomes float32. Raises ValueError for a file that is damaged or
    forged, or that has more than `most` numbers.
    """
    try:
        with safe_open(path, "numpy") as file:
            if file.metadata()["format"] != "secateur-packed-2":
                raise ValueError("it has another format")
            data = file.get_tensor("packed").tobytes()
        if hashlib.sha256(data[32:]).digest() != data[:32]:
            raise ValueError("its checksum is wrong")
        body = io.BytesIO(data[56:])
        parts = [body.read(length) for length in np.frombuffer(data[32:56], "<u4")]
        manifest = json.loads(zlib.decompressobj(-15, DICTIONARY).decompress(parts[0], 1 << 24))
        reader = Reader(parts, most)
        tensors = {entry["name"]: reader.read(ABSENT | entry) for entry in manifest["tensors"]}
        return tensors, manifest["card"]
    except Exception as error:  # a forged file can cause any
        raise ValueError(f"{path} cannot be read, or is no packed network: {error}.") from error


def open_planes(part: bytes, sizes: list[int], most: int) -> dict[int, io.BytesIO]:
    """The numbers of a part by their size in bytes. A plane holds one byte of all of a size."""
    planes: list[Array] = []
    while part and len(planes) < sum(sizes):
        inflater = zlib.decompressobj(-15)
        planes.append(np.frombuffer(inflater.decompress(part, most), np.uint8))
        part = inflater.unused_data
    rest = iter(planes)
    counts = [size & len(planes) for size in sizes]  # sizes are powers of two
    arrays = [np.array([*islice(rest, count)]) for count in counts]
    return {size: io.BytesIO(array.T.tobytes()) for size, array in zip(sizes, arrays, strict=True)}


def take(numbers: io.BytesIO, dtype: Any, shape: list[Any]) -> Array:
    """The next numbers, as an array of this shape."""
    length = math.prod(shape) * np.dtype(dtype).itemsize
    data = numbers.read(length)
    if len(data) != length:
        raise ValueError("a part is cut or too long")
    return np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).reshape(shape)


def decode(coder: Any, weights: Array, contexts: Array) -> Array:
    """The next symbols (n,) in their contexts (n,). weights: (c, k), how likely symbols are."""
    if len(contexts) < 1 << 13:
        return coder.decode(Categorical(lazy=True, perfect=False), weights[contexts])
    symbols = np.zeros(len(contexts), int)
    for context in np.unique(contexts):
        places = np.flatnonzero(contexts == context)
        symbols[places] = coder.decode(Categorical(weights[context], perfect=False), len(places))
    return symbols


def shares(counts: Array, expected: Array = 0, weight: int = 0) -> Array:
    """Shares of the counts (..., k) in 2^14, drawn to what is expected where counts are few."""
    totals = counts.sum(-1, keepdims=True) + weight
    return ((counts << 14) + weight * expected) // np.maximum(totals, 1)


def context_weights(counts: Array, start: Array, earlier: Array | None) -> Array:
    """How likely symbols are in contexts, by the counts (10, 9, k) of this and earlier layers."""
    expected = shares(counts.sum((0, 1)), shares(start) + 1, 32) + 1
    of_predictions = shares(counts.sum(0), expected, 20)
    of_scales = shares(counts.sum(1), expected, 20)[:, None]
    prior = shares(of_predictions * of_scales // expected + 1) + 1
    if earlier is not None:
        total = earlier.sum((0, 1)) + 1
        before = shares((earlier << 10) + 100 * ((total << 10) // total.sum()) + 1) + 1
        prior = (prior + shares(expected * before // (shares(total) + 1) + 1) + 1) >> 1
    weights = (256 * counts + prior + 1).reshape(90, -1)
    _, bits = np.frexp(weights.sum(1, keepdims=True).astype(float))
    return np.maximum(weights >> np.maximum(bits - 22, 0), 1).astype(np.float32)


def low_weights(high: Array, alphabet: int, bins: int) -> Array:
    """How likely each low part is for each high part of an integer, (alphabet, bins)."""
    histogram = np.pad(np.bincount(high, minlength=alphabet), 1, "edge")[:, None]
    away = 2 * np.arange(bins) + 1 - bins
    beside = np.where(away < 0, histogram[:-2], histogram[2:])
    mixed = histogram[1:-1] * (2 * bins - abs(away)) + beside * abs(away) + 1
    excess = np.maximum(mixed.sum(1, keepdims=True) >> 20, 1)
    return np.maximum(mixed // excess, 1).astype(np.float32)


def neighbours(position: int, width: int) -> list[int]:
    """The positions left, above, above left and above right of one in a kernel, if they exist."""
    row, column = divmod(position, width)
    around = [(row, column - 1), (row - 1, column), (row - 1, column - 1), (row - 1, column + 1)]
    return [width * y + x for y, x in around if y >= 0 and 0 <= x < width]


def predict(near: Array, moments: Array) -> Array:
    """Levels (n,) by least squares from those of their neighbours (k, n)."""
    size = len(near)
    equations = moments + 20480 * np.eye(size, size + 1)
    equations[:, size] += 12288 // size
    for i, j in combinations(range(size), 2):  # elimination, in this order to the bit
        equations[j, i:] -= equations[j, i] / equations[i, i] * equations[i, i:]
    solution = np.zeros(size)
    for i in reversed(range(size)):
        for j in range(i + 1, size):
            equations[i, size] -= equations[i, j] * solution[j]
        solution[i] = equations[i, size] / equations[i, i]
    return np.rint(256 * solution).clip(-1024, 1024).astype(int) @ near >> 8


class Reader:
    """Reads the tensors of a file in their order."""

    def __init__(self, parts: list[bytes], most: int):
        self.most = most
        self.numbers = self.unit_count = 0
        self.masks, self.indices = [AnsCoder(np.frombuffer(part, "<u4")) for part in parts[1:3]]
        self.tables = open_planes(parts[3], [1], most)[1]
        self.books = open_planes(parts[4], [4, 1], most)
        self.rest = open_planes(parts[5], [1, 2, 4, 8], most)
        self.learned: dict[Any, Any] = {}  # what earlier layers teach

    def read(self, entry: dict[str, Any]) -> Array:
        """The next tensor, with its entry of the manifest."""
        self.numbers += math.prod(entry["shape"])
        if self.numbers > self.most:
            raise ValueError("its tensors are too large")
        if not (0 <= entry["clusters"] <= 256 and 2 <= entry["bits"] <= 8):
            raise ValueError("it has too many levels")
        kept = np.ones(entry["shape"], bool)
        if entry["masked"] or entry["kind"] == "sparse":
            kept = self.mask(kept, entry["mask_in_contexts"])
        if entry["kind"] == "affine":
            values = self.affine(kept, entry)
        elif entry["kind"] == "codebook":
            table = take(self.books[4], "f4", [entry["clusters"]])
            symbols = self.symbols(kept, entry["unit"], table, len(table))
            values = np.append(table, np.float32(0))[symbols]
        else:
            values = self.plain(kept, entry["stored"], entry["dtype"])
        return np.where(kept, values, values.dtype.type(0))

    def plain(self, kept: Array, stored: str, dtype: str) -> Array:
        """Numbers that are stored as they are."""
        stored_dtype = np.dtype(stored.replace("bfloat16", "uint16"))
        value_dtype = np.dtype(dtype.replace("bfloat16", "float32"))
        if not {stored_dtype.kind, value_dtype.kind} <= set("biuf"):
            raise ValueError("its numbers have an unknown type")
        numbers = take(self.rest[stored_dtype.itemsize], stored_dtype, [np.count_nonzero(kept)])
        if stored == "bfloat16":
            numbers = (numbers.astype("u4") << 16).view("f4")
        values = np.zeros(kept.shape, value_dtype)
        values[kept] = numbers
        return values

    def affine(self, kept: Array, entry: dict[str, Any]) -> Array:
        """The integers of these weights times the scale of their channel."""
        bits, symmetric = entry["bits"], bool(entry["symmetric"])
        channels = [len(kept), *[1] * (kept.ndim - 1)] if entry["axis"] == 0 else []
        scale = take(self.books[4], "f4", channels)
        zero = 0 if symmetric else take(self.books[1], "u1", channels).astype(int)
        half = 1 << (bits - symmetric)
        bins = 1 << max(0, bits - 5)  # integers that share a symbol in contexts
        middles = np.arange(-half, half, bins) + (bins - 1) / 2
        symbols = self.symbols(kept, entry["unit"], middles, (1 << bits) - symmetric)
        if entry["unit"] is None:
            return (symbols + symmetric * (1 - half) - zero).astype(np.float32) * scale
        integers = symbols * bins - half
        if bins > 1:
            high = symbols[kept]
            integers[kept] += decode(self.indices, low_weights(high, len(middles), bins), high)
        return integers.astype(np.float32) * scale

    def mask(self, places: Array, in_contexts: bool) -> Array:
        """Which of these weights are kept."""
        if not in_contexts:
            return self.by_frequency(self.masks, places, 2) > 0
        start = COUNTS[take(self.tables, "u1", [2])]
        level = min(math.isqrt(4096 * int(start.sum()) // max(1, int(start[1]))), 4096)
        return self.in_contexts(self.masks, places, np.array([0, level]), start) > 0

    def symbols(self, kept: Array, unit: int | None, values: Array, alphabet: int) -> Array:
        """The next symbols at the kept places. values: (k,), what each stands for in contexts."""
        if unit is None:
            return self.by_frequency(self.indices, kept, alphabet)
        scale = math.ldexp((8 + unit % 8) / 8, unit // 8)
        levels = np.rint((values.astype(float) / scale).clip(-4096, 4096)).astype(int)
        return self.in_contexts(self.indices, kept, levels)

    def by_frequency(self, coder: Any, kept: Array, alphabet: int) -> Array:
        """The next symbols at the kept places, coded by their frequencies alone."""
        symbols = np.zeros(kept.shape, int)
        if alphabet > 1:
            counts = COUNTS[take(self.tables, "u1", [alphabet])]
            units = 1 + counts * (65536 - alphabet) // max(1, counts.sum())
            units[counts.argmax()] += 65536 - units.sum()
            model = Categorical(units / 65536, perfect=False)
            symbols[kept] = coder.decode(model, np.count_nonzero(kept))
        return symbols

    def in_contexts(self, coder: Any, kept: Array, levels: Array, start: Array = None) -> Array:
        """The next symbols at the kept places, coded in contexts.

        levels: (k,), how large a weight each stands for. start: (k,), how frequent a mask's are.
        """
        shape, alphabet = kept.shape, len(levels)
        width = shape[-1] if len(shape) > 2 else 1
        kept = kept.reshape(*(*shape, 1, 1)[:2], -1)  # outputs, inputs, positions in the kernel
        key = (start is None, alphabet)
        earlier = self.learned.get(key)
        if start is None:
            start = np.ones(alphabet, int) if earlier is None else earlier.sum((0, 1)) + 1
        is_mask = alphabet == 2 and levels[0] == 0
        symbols, known = np.zeros((2, *kept.shape), int)  # known: the levels of the symbols
        counts = np.zeros((10, 9, alphabet), int)
        sums, sizes = np.zeros((2, sum(kept.shape[:2])), int)  # of the levels of each channel
        moments: dict[Any, Array] = {}
        for position, rows, columns in self.units(kept, alphabet):
            before = neighbours(position, width)
            near = np.array([known[rows, columns, place] for place in before])
            channels = np.array([rows, len(kept) + columns])
            mean = max(1, 16 * (sums.sum() // 2 + 3072) // (sizes.sum() // 2 + 64))
            weight = max(4, (1 << 19) // mean**2)
            means = (16 * sums + weight * mean) // (sizes + weight)
            scales = octaves(means)[channels].sum(0) - 2 * octaves(mean)
            if is_mask:
                contexts = 9 * np.searchsorted(MASK_SCALES, scales, "right")
                contexts += (near > 0).sum(0) if before else 8
            elif before:
                at = (*kept.shape[2:], width, position)
                moments.setdefault(at, 3 * self.learned.get(at, 0) // 10)
                of_near = (16 * abs(near).sum(0) // len(near) + mean) // 2
                scales += (octaves(of_near) - octaves(mean)) >> 1
                contexts = 9 * np.searchsorted(SCALES, scales, "right")
                predicted = predict(near, moments[at]) * INVERSES[contexts // 9] >> 8
                contexts += np.searchsorted(PREDICTIONS, predicted, "right")
            else:
                contexts = 9 * np.searchsorted(SCALES, scales, "right") + 4
            decoded = decode(coder, context_weights(counts, start, earlier), contexts)
            symbols[rows, columns, position] = decoded
            known[rows, columns, position] = new = levels[decoded]
            if before and not is_mask:
                pairs = np.array([*near, new], float)
                moments[at] = moments[at] + (pairs[:-1] @ pairs.T).astype(int)
            cells = np.bincount(contexts * alphabet + decoded, minlength=counts.size)
            counts += cells.reshape(counts.shape)
            sums += np.bincount(channels.ravel(), np.tile(abs(new), 2), len(sums)).astype(int)
            sizes += np.bincount(channels.ravel(), minlength=len(sizes))
        self.learned |= moments
        self.learned[key] = counts if earlier is None else counts + earlier // 2
        return symbols.reshape(shape)

    def units(self, kept: Array, alphabet: int) -> Iterator[tuple[int, Array, Array]]:
        """The position, the rows and the columns of the weights of each unit, coded at once."""
        outputs, inputs, positions = kept.shape
        size = np.count_nonzero(kept)
        most = 8 if size < 1 << 18 else 4
        chunks = size // max(64, 4 * alphabet) // positions
        tall = min(chunks, outputs, most)
        wide = min(chunks // max(1, tall), inputs, most) if positions == 1 else 1
        self.unit_count += tall * wide * positions * (1 + alphabet // 256)
        if not tall or self.unit_count > (1 << 14) + self.numbers // 1024:
            raise ValueError("its units are too small")
        down = pairwise(np.arange(tall + 1) * outputs // tall)
        across = pairwise(np.arange(wide + 1) * inputs // wide)
        for (top, bottom), (left, right), position in product(down, across, range(positions)):
            rows, columns = np.nonzero(kept[top:bottom, left:right, position])
            if len(rows):
                yield position, rows + top, columns + left
