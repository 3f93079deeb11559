"""Reads a packed network of Secateur. Needs numpy, safetensors and constriction, and no PyTorch.

from secateur_reader import load
tensors, card = load("packed.secateur")
print(card["model"], {name: array.shape for name, array in tensors.items()})
"""

import base64
import hashlib
import io
import itertools
import json
import math
import zlib
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

Array = NDArray[Any]
AnsCoder = constriction.stream.stack.AnsCoder
Categorical = constriction.stream.model.Categorical
LOG2 = np.array([-8, *((n**8).bit_length() - 1 for n in range(1, 1 << 16))])  # floor(8 log2(n))
EIGHTHS = np.array([256, 279, 304, 332, 362, 395, 431, 470])  # 256 * 2^(i / 8)
SCALES = (-12, -8, -5, -3, -1, 1, 3, 5, 8)  # bounds of the classes that make a context
MASK_SCALES = (-24, -16, -11, -7, -3, 0, 4, 9, 15)
PREDICTIONS = (-96, -58, -32, -13, 13, 32, 58, 96)
INVERSES = np.array([1707, 1218, 899, 724, 609, 512, 431, 362, 292, 197])  # 512 / scale
TEXT = "c-oy-QE%Hg4E`^Aog3JW<FtMoZn)uq!#(WbUWUS;Z936nNrogR&5Hi_Bjwm}+HS)Rfh>y>$&Vi?I^u+KxA&#7awj4ob=h0<tsJE!FoO@0RVBgE8oWpCrP1_`x;713dTSB<V9~9Tcr~lm9XKajiFUP=8hyO3Iyj@vXumNh?LhS%E)Q3FeO*9LyDXHpVMD;em_|Y)rLm@w(b&+)X>4iS(|8ckGaV<b;#nwy+=)VbLH7^(G@gK>6UA2n()Jx_b_0Vq%2e{L&jv%#jbX-G8>YRnjt{!M>}m3Ls1M>X5(+_+;dqtZZz6hba(>1+Z8_hBoiu%j_?d<0=0@ouVQF@sraWc&W~rBLStDDs;WSTzP1&F**w*EBokqf9E&CAPvp7gi+Cr+{SdOLT_==I0m4g;3y^dm`t%<3BKYvb`&IUX<^d$Ktchd8b>P&^hB~Y}`Ib>>%vSx$z(13V}W{2K_)C;43BeB1^vHHhfe}4Rua6)=JPznk?bltq5%%R_#0N$eoFOPWVbYOelacA9j=5!+(k2DmP^k-4Tt9Wy%yOX4pO~@<o^}clS`|LPKn6`w-tc}Hz!IMcmLKg~Tr|2$-f|8Ak<;9>igKpet?1e5%Z|XfQxACp7B)um%mVqTq58D_NFCQXtxttBwFhY+Rydzl65b|a;*5^8u=t5c>C-p0t^T<4esYnUL4wQn6+YT!1N~etRd#QK9)gq#ikC4JrD%hc$WW<D|401mxNW&pE;pKqXmv}^b4)leks@QSN8Kr`BK_}cYv8bD{=DG<SX=BxuP-3Bz6{Q|0&Z*^a<xtMSuek-x0B#LNQyD_rj?7eCzy(p?qb=(_Xw79gT6Jed<zr=ibq#tKu8GtNo~FJ<2A*I37uIl}eueeGZNP>8G*H^u9p7fDCEGdNh3yX?#4PG4G~mt@=>Cq@xXJky@3j)+sqW(BosxW;?UzSVp4tQV5)EpsHhoO4ZTdCSZVx>j`<mp@ntzWI`P8G}Nsd4kl#hUi5K_kMUfj&znD~t^{tQ*d92Va4Z1#3bp8|Ja-bXjQDk)Bi!Q+#6x9;z@+XaBYVM6ZT57_lEeF8=Zn<R~Rj3^p^W+~;$=UKRj)KQw7f;eDLPLr7L$os(FLsRKwr3Y1B+Eq!3t2x3Mn1#~<)z6@ef*(1dKCG!Zl;P|21M7MA_$&3}SfanFefj(GyK1kK^fSf(0A)nrw*"  # noqa: E501
DICTIONARY = zlib.decompress(base64.b85decode(TEXT))  # what most manifests hold
ABSENT = json.loads(
    '{"dtype":"float32","stored":"float32","clusters":0,"masked":false,"mask_in_contexts":false,'
    '"bits":8,"axis":null,"symmetric":false,"unit":null}'
)


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
        ends = 56 + np.cumsum(np.frombuffer(data[32:56], "<u4"), dtype=np.int64)
        parts = [data[start:end] for start, end in itertools.pairwise([56, *ends])]
        manifest = json.loads(inflate(parts[0], 1 << 24, DICTIONARY)[0])
        reader = Reader(parts, most)
        tensors = {entry["name"]: reader.read(ABSENT | entry) for entry in manifest["tensors"]}
        return tensors, manifest["card"]
    except Exception as error:  # a forged file can cause any
        raise ValueError(f"{path} cannot be read, or is no packed network: {error}.") from error


def inflate(stream: bytes, most: int, dictionary: bytes = b"") -> tuple[bytes, bytes]:
    """The data of a deflate stream, and the bytes after it."""
    inflater = zlib.decompressobj(-15, dictionary)
    data = inflater.decompress(stream, most + 1)
    if not inflater.eof or len(data) > most:
        raise ValueError("a part is cut or too long")
    return data, inflater.unused_data


def open_planes(part: bytes, sizes: list[int], most: int) -> dict[int, io.BytesIO]:
    """The numbers of a part by their size in bytes. Each plane holds one byte of all of a size."""
    planes: list[Array] = []
    while part and len(planes) < sum(sizes):
        data, part = inflate(part, most)
        planes.append(np.frombuffer(data, np.uint8))
    counts = [size & len(planes) for size in sizes]  # sizes are powers of two
    arrays = [np.array([planes.pop(0) for _ in range(count)]) for count in counts]
    return {size: io.BytesIO(array.T.tobytes()) for size, array in zip(sizes, arrays, strict=True)}


def take(numbers: io.BytesIO, dtype: str, shape: list[int]) -> Array:
    """The next numbers of an array."""
    data = numbers.read(math.prod(shape) * np.dtype(dtype).itemsize)
    return np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).reshape(shape)


def decode(coder: Any, weights: Array, contexts: Array) -> Array:
    """The next symbols (n,). weights: (c, k), how likely each symbol is in each context."""
    if len(contexts) < 1 << 13:
        return np.asarray(coder.decode(Categorical(lazy=True, perfect=False), weights[contexts]))
    symbols = np.zeros(len(contexts), int)
    for context in np.unique(contexts):
        places = np.flatnonzero(contexts == context)
        symbols[places] = coder.decode(Categorical(weights[context], perfect=False), len(places))
    return symbols


def shares(counts: Array) -> Array:
    """Positive numbers in proportion to the counts (..., k), which add up to about 2^14."""
    return np.asarray((counts << 14) // np.maximum(counts.sum(-1, keepdims=True), 1) + 1)


def context_weights(counts: Array, start: Array, earlier: Array | None) -> Array:
    """How likely each symbol is in each context, by counts of this layer and of earlier ones."""
    total = counts.sum((0, 1))
    expected = ((total << 14) + 32 * shares(start)) // (total.sum() + 32) + 1
    of_predictions, of_scales = [
        ((sums << 14) + 20 * expected) // (sums.sum(-1, keepdims=True) + 20)
        for sums in (counts.sum(0), counts.sum(1))
    ]
    prior = shares(of_predictions * of_scales[:, None] // expected + 1)
    if earlier is not None:
        total = earlier.sum((0, 1)) + 1
        before = shares((earlier << 10) + 100 * ((total << 10) // total.sum()) + 1)
        prior = (prior + shares(expected * before // shares(total) + 1)) >> 1
    weights = (256 * counts + prior + 1).reshape(90, -1)
    _, bits = np.frexp(weights.sum(1, keepdims=True).astype(float))
    limited: Array = np.maximum(weights >> np.maximum(bits - 22, 0), 1)
    return limited.astype(np.float32)


def predict(near: Array, moments: Array) -> Array:
    """Levels (n,) by least squares from those of their neighbours (k, n)."""
    size = len(near)
    equations = moments + 20480 * np.eye(size, size + 1)
    equations[:, size] += 12288 // size
    for i, j in itertools.combinations(range(size), 2):  # elimination, in this order to the bit
        equations[j, i:] -= equations[j, i] / equations[i, i] * equations[i, i:]
    solution = np.zeros(size)
    for i in reversed(range(size)):
        for j in range(i + 1, size):
            equations[i, size] -= equations[i, j] * solution[j]
        solution[i] = equations[i, size] / equations[i, i]
    return np.asarray(np.rint(256 * solution).clip(-1024, 1024).astype(int) @ near >> 8)


def low_weights(high: Array, alphabet: int, bins: int) -> Array:
    """How likely each low part is for each high part of an integer, (alphabet, bins)."""
    histogram = np.pad(np.bincount(high, minlength=alphabet), 1, "edge")[:, None]
    away = 2 * np.arange(bins) + 1 - bins
    beside = np.where(away < 0, histogram[:-2], histogram[2:])
    mixed = histogram[1:-1] * (2 * bins - abs(away)) + beside * abs(away) + 1
    limited: Array = np.maximum(mixed // np.maximum(mixed.sum(1, keepdims=True) >> 20, 1), 1)
    return limited.astype(np.float32)


def octaves(numbers: Any, mean: int) -> Array:
    """The ratios of the numbers to the mean, in eighths of an octave."""
    return np.asarray(LOG2.take(numbers, mode="clip") - LOG2.take(mean, mode="clip"))


class Reader:
    """Reads the tensors of a file in their order."""

    def __init__(self, parts: list[bytes], most: int):
        self.most = most
        self.numbers = self.units = 0
        self.masks, self.indices = [AnsCoder(np.frombuffer(part, "<u4")) for part in parts[1:3]]
        self.tables = open_planes(parts[3], [1], most)[1]
        self.books = open_planes(parts[4], [4, 1], most)
        self.rest = open_planes(parts[5], [1, 2, 4, 8], most)
        self.learned: dict[Any, Array] = {}  # what earlier layers teach

    def read(self, entry: dict[str, Any]) -> Array:
        """The next tensor, with its entry of the manifest."""
        shape, stored = entry["shape"], entry["stored"].replace("bfloat16", "uint16")
        self.numbers += math.prod(shape)
        if self.numbers > self.most:
            raise ValueError("its tensors are too large")
        places = np.ones(shape, bool)
        if entry["masked"] or entry["kind"] == "sparse":
            places = self.mask(places, entry["mask_in_contexts"])
        if entry["kind"] == "affine":
            return np.where(places, self.affine(places, entry), np.float32(0))
        if entry["kind"] == "codebook":
            table = take(self.books[4], "f4", [entry["clusters"]])
            symbols = self.symbols(places, table, entry["unit"], len(table))
            return np.where(places, np.append(table, np.float32(0))[symbols], np.float32(0))
        numbers = take(self.rest[np.dtype(stored).itemsize], stored, [int(places.sum())])
        if entry["stored"] == "bfloat16":
            numbers = (numbers.astype("u4") << 16).view("f4")
        values = np.zeros(shape, entry["dtype"].replace("bfloat16", "float32"))
        values[places] = numbers
        return values

    def affine(self, places: Array, entry: dict[str, Any]) -> Array:
        """The integers of these weights times the scale of their channel."""
        bits, symmetric, unit = entry["bits"], entry["symmetric"], entry["unit"]
        along = [len(places), *[1] * (places.ndim - 1)] if entry["axis"] == 0 else []
        scale = take(self.books[4], "f4", along)
        zero = take(self.books[1], "u1", along).astype(int) if not symmetric else 0
        half = 1 << (bits - symmetric)
        bins = 1 << max(0, bits - 5)
        middles = np.arange(-half, half, bins) + (bins - 1) / 2
        symbols = self.symbols(places, middles, unit, (1 << bits) - symmetric)
        integers = (
            symbols + symmetric * (1 - half) - zero if unit is None else symbols * bins - half
        )
        if unit is not None and bins > 1:
            high = symbols[places]
            integers[places] += decode(self.indices, low_weights(high, len(middles), bins), high)
        return np.asarray(integers.astype(np.float32) * scale)

    def mask(self, places: Array, in_contexts: bool) -> Array:
        """Which of these weights are kept."""
        if not in_contexts:
            return self.by_frequency(self.masks, places, 2) > 0
        start = self.counts(2)
        level = min(math.isqrt(4096 * int(start.sum()) // max(1, int(start[1]))), 4096)
        return self.in_contexts(self.masks, places, np.array([0, level]), start) > 0

    def symbols(self, places: Array, values: Array, unit: int | None, alphabet: int) -> Array:
        """The symbols of these weights. values: (k,), what each symbol stands for in contexts."""
        if unit is None:
            return self.by_frequency(self.indices, places, alphabet)
        scale = math.ldexp((8 + unit % 8) / 8, unit // 8)
        levels = np.rint((values.astype(float) / scale).clip(-4096, 4096)).astype(int)
        return self.in_contexts(self.indices, places, levels)

    def counts(self, alphabet: int) -> Array:
        """How often each symbol occurs, about 256 times as large."""
        codes = take(self.tables, "u1", [alphabet]).astype(int)
        return np.where(codes > 0, EIGHTHS[(codes - 1) % 8] << np.maximum(codes - 1, 0) // 8, 0)

    def by_frequency(self, coder: Any, places: Array, alphabet: int) -> Array:
        """The next symbols at these places, coded by their frequencies alone."""
        symbols = np.zeros(places.shape, int)
        if alphabet > 1:
            counts = self.counts(alphabet)
            units = 1 + counts * (65536 - alphabet) // max(1, counts.sum())
            units[counts.argmax()] += 65536 - units.sum()
            model = Categorical(units / 65536, perfect=False)
            symbols[places] = coder.decode(model, np.count_nonzero(places))
        return symbols

    def in_contexts(
        self, coder: Any, kept: Array, levels: Array, start: Array | None = None
    ) -> Array:
        """The next symbols at the kept places, in contexts. levels: (k,), what they stand for."""
        shape, alphabet, size = kept.shape, len(levels), np.count_nonzero(kept)
        outputs, inputs = (*shape, 1, 1)[:2]
        positions = math.prod(shape[2:])
        width = shape[-1] if len(shape) > 2 else 1
        kept = kept.reshape(outputs, inputs, positions)
        chunks = size // max(64, 4 * alphabet) // positions
        tall = min(chunks, outputs, 8 if size < 1 << 18 else 4)
        wide = min(chunks // max(1, tall), inputs, 8 if size < 1 << 18 else 4)
        wide = wide if positions == 1 else 1
        self.units += tall * wide * positions * (1 + alphabet // 256)
        if not chunks or self.units > (1 << 14) + self.numbers // 1024:
            raise ValueError("its units are too small")
        key = (start is None, alphabet)
        earlier = self.learned.get(key)
        if start is None:
            start = np.ones(alphabet, int) if earlier is None else earlier.sum((0, 1)) + 1
        is_mask = alphabet == 2 and levels[0] == 0
        counts = np.zeros((10, 9, alphabet), int)
        symbols, grid = np.zeros((2, outputs, inputs, positions), int)
        sums, sizes = np.zeros((2, outputs + inputs), int)  # of each channel
        moments: dict[int, Array] = {}
        for i, j, position in itertools.product(range(tall), range(wide), range(positions)):
            top, bottom = outputs * i // tall, outputs * (i + 1) // tall
            left, right = inputs * j // wide, inputs * (j + 1) // wide
            rows, columns = np.nonzero(kept[top:bottom, left:right, position])
            if not len(rows):
                continue
            rows += top
            columns += left
            row, column = divmod(position, width)
            steps = [1] * (column > 0) + [width] * (row > 0) + [width + 1] * (row > 0 < column)
            steps += [width - 1] * (row > 0 and column < width - 1)
            near = np.array([grid[rows, columns, position - step] for step in steps])
            channels = np.array([rows, outputs + columns])
            mean = max(1, 16 * (sums.sum() // 2 + 3072) // (sizes.sum() // 2 + 64))
            weight = max(4, (1 << 19) // mean**2)
            scales = octaves((16 * sums + weight * mean) // (sizes + weight), mean)[channels].sum(0)
            if is_mask:
                contexts = 9 * np.searchsorted(MASK_SCALES, scales, "right")
                contexts += (near > 0).sum(0) if steps else 8
            elif steps:
                scales += octaves((16 * abs(near).sum(0) // len(near) + mean) // 2, mean) >> 1
                contexts = 9 * np.searchsorted(SCALES, scales, "right")
                before = self.learned.get((positions, width, position), np.zeros((), int))
                moments.setdefault(position, 3 * before // 10)
                predicted = predict(near, moments[position]) * INVERSES[contexts // 9] >> 8
                contexts += np.searchsorted(PREDICTIONS, predicted, "right")
            else:
                contexts = 9 * np.searchsorted(SCALES, scales, "right") + 4
            decoded = decode(coder, context_weights(counts, start, earlier), contexts)
            level = levels[decoded]
            cells = np.bincount(contexts * alphabet + decoded, minlength=counts.size)
            counts += cells.reshape(counts.shape)
            symbols[rows, columns, position] = decoded
            grid[rows, columns, position] = level
            sums += np.bincount(channels.ravel(), np.tile(abs(level), 2), len(sums)).astype(int)
            sizes += np.bincount(channels.ravel(), minlength=len(sizes))
            if steps and not is_mask:
                both = np.array([*near, level], float)
                moments[position] = moments[position] + (both[:-1] @ both.T).astype(int)
        self.learned[key] = counts if earlier is None else counts + earlier // 2
        self.learned.update({(positions, width, at): sums for at, sums in moments.items()})
        return np.asarray(symbols.reshape(shape))
