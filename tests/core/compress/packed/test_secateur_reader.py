"""The reader that leaves with a packed file: bit for bit what the app loads, without torch."""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load as read_safetensors
from safetensors.numpy import save as write_safetensors

from core.compress import codec
from core.compress.affine import QuantizedWeight, quantize
from core.compress.kmeans import share_weights
from core.compress.packed import READER, secateur_reader
from core.compress.packed.container import join_parts, split_parts
from core.compress.packed.dictionary import MANIFEST_DICTIONARY
from core.compress.packed.planes import deflate_text, inflate
from core.models.card import ModelCard

CARD = ModelCard(
    model="LeNet5",
    dataset="Digits",
    classes=("cat", "größer"),
    mean=(0.49, 0.48, 0.45),
    std=(0.247, 0.2435, 0.2616),
    side=32,
    recipes=({"kind": "train", "dataset": "Digits"},),
)
SHAPES = [(24, 16, 3, 3), (40, 1, 5, 5), (70, 60), (400,), (1, 30, 7, 3), (3, 5)]
DENSITIES = (1.0, 0.1)

# Runs in another process. It refuses to import torch and Secateur, and writes what the reader
# reads as plain files.
PROGRAM = """
import json, sys
from importlib.abc import MetaPathFinder

class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "core"):
            raise ImportError(f"{name} is not there")

sys.meta_path.insert(0, Refuse())
sys.path.insert(0, sys.argv[1])
import numpy
from secateur_reader import load

tensors, card = load(sys.argv[2])
arrays = {str(number): tensors[name] for number, name in enumerate(tensors)}
numpy.savez(sys.argv[3], **arrays)
print(json.dumps({"names": list(tensors), "card": card}))
"""


def weights(shape, density, seed=0):
    """Weights like trained ones: channels differ, and neighbours in a kernel are alike."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(shape, generator=generator)
    if weight.ndim > 2:
        weight = weight + weight.roll(1, -1)
    weight *= torch.exp(torch.randn(shape[0], *[1] * (len(shape) - 1), generator=generator))
    return weight * (torch.rand(shape, generator=generator) < density)


def every_kind():
    """A state with all kinds of tensors, by name."""
    state: dict[str, torch.Tensor | QuantizedWeight] = {
        "counter": torch.tensor(7),
        "integers": torch.arange(-300, 300),
        "bytes": torch.arange(200, dtype=torch.uint8),
        "flags": torch.tensor([True, False, True]),
        "empty": torch.empty(0),
        "emptier": torch.empty(2, 0, 3),
        "number": torch.tensor(3.5),
        "ones": torch.ones(500),
        "zeros": torch.zeros(40, 40),
        "signs": torch.tensor([0.0, -0.0, float("inf"), -float("inf"), float("nan")]),
        "subnormal": torch.full((70,), 1e-42),
        "half": torch.randn(300).half(),
        "double": torch.randn(9).double(),
    }
    for number, shape in enumerate(SHAPES):
        for density in DENSITIES:
            weight = weights(shape, density, seed=number)
            name = f"{shape} {density}"
            state[f"{name} float"] = weight
            for clusters in (2, 5, 32, 256):
                state[f"{name} {clusters} clusters"] = share_weights(weight, clusters)
            state[f"{name} no pinned zeros"] = share_weights(weight, 2, keep_zeros=False)
            for bits in (2, 5, 8):
                state[f"{name} {bits} bits"] = quantize(weight, bits)
                state[f"{name} {bits} bits per channel"] = quantize(weight, bits, 0)
                symmetric = quantize(weight, bits, 0, symmetric=True)
                state[f"{name} {bits} bits symmetric"] = symmetric
    return state


def assert_equal(arrays, state):
    """Bit for bit, also the sign of zero and the bits of NaN."""
    assert list(arrays) == list(state)
    for name, tensor in state.items():
        expected = tensor.contiguous().numpy()
        assert arrays[name].dtype == expected.dtype, name
        assert arrays[name].shape == expected.shape, name
        assert arrays[name].tobytes() == expected.tobytes(), name


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A packed file with all kinds of tensors."""
    path = tmp_path_factory.mktemp("packed") / "packed.secateur"
    codec.save(path, every_kind(), CARD)
    return path


def test_it_reads_all_kinds_of_tensors_in_a_process_without_torch(packed, tmp_path):
    shutil.copy(READER, tmp_path / "secateur_reader.py")
    written = tmp_path / "arrays.npz"
    command = [sys.executable, "-I", "-c", PROGRAM, tmp_path, packed, written]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = json.loads(printed)
    arrays = dict(zip(found["names"], np.load(written).values(), strict=True))
    assert_equal(arrays, codec.load(packed).state())
    assert found["card"] == CARD.model_dump(mode="json", exclude={"dataset"})


def test_numbers_in_float16(tmp_path):
    path = tmp_path / "half.secateur"
    state = {"a": weights((40, 30), 1.0), "b": weights((40, 30), 0.2), "c": torch.tensor([1e6])}
    codec.save(path, state, CARD, rest="float16")
    arrays, _ = secateur_reader.load(path)
    assert_equal(arrays, codec.load(path).state())


def test_bfloat16_becomes_float32(tmp_path):
    path = tmp_path / "brain.secateur"
    numbers = torch.randn(300).bfloat16()
    numbers[::3] = 0
    codec.save(path, {"x": numbers}, CARD)
    arrays, _ = secateur_reader.load(path)
    assert_equal(arrays, {"x": numbers.float()})


def test_large_layers_whose_symbols_are_sorted_by_context(tmp_path):
    path = tmp_path / "large.secateur"
    weight = weights((130, 128, 3, 3), 1.0)
    items = {"five": share_weights(weight, 5), "pruned": weights((500, 600), 0.1)}
    codec.save(path, items | {"bits": quantize(weight, 8, 0)}, CARD)
    arrays, _ = secateur_reader.load(path)
    assert_equal(arrays, codec.load(path).state())


# -- damaged and forged files --


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The bytes of a small file with each kind of entry."""
    weight = weights((24, 16, 3, 3), 0.3)
    state = {"n": torch.tensor(7), "five": share_weights(weight, 5), "plain": weight}
    data, _ = codec.pack(state | {"bits": quantize(weight, 7, 0)}, CARD)
    return data


def refuse(content, path):
    """Read the content of a file, which may be refused by a ValueError alone. Return its text."""
    path.write_bytes(content)
    text = ""
    try:
        secateur_reader.load(path)
    except ValueError as error:
        text = str(error)
    assert not text or text.startswith(f"{path} ")
    return text


def forged(parts):
    container = np.frombuffer(join_parts(parts), np.uint8)
    return write_safetensors({"packed": container}, {"format": "secateur-packed-2"})


def opened(data):
    """The parts of a file, and its manifest."""
    parts = split_parts(read_safetensors(data)["packed"].tobytes())
    text, _ = inflate(parts["manifest"], 1 << 20, MANIFEST_DICTIONARY)
    return parts, json.loads(text)


def with_manifest(parts, manifest):
    text = json.dumps(manifest).encode()
    return forged({**parts, "manifest": deflate_text(text, MANIFEST_DICTIONARY)})


def test_a_changed_bit_is_found_by_the_checksum(small, tmp_path):
    path = tmp_path / "x.secateur"
    assert not refuse(small, path)
    changed = bytearray(small)
    changed[-5] ^= 1
    assert "checksum is wrong" in refuse(changed, path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", bytes(100), b"\x02" + bytes(7) + b"{}"])
def test_another_file_is_refused(content, tmp_path):
    assert "no packed network" in refuse(content, tmp_path / "x.secateur")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"absent\.secateur cannot be read"):
        secateur_reader.load(tmp_path / "absent.secateur")


def test_the_first_format_is_another_one(tmp_path):
    content = Path(__file__).with_name("first_format.safetensors").read_bytes()
    assert "another format" in refuse(content, tmp_path / "x.secateur")


@pytest.mark.parametrize("part", ["masks", "indices", "tables", "codebooks", "rest", "manifest"])
def test_forged_parts_are_read_or_refused(part, small, tmp_path):
    """The checksum agrees with the damage."""
    parts, _ = opened(small)
    rng = random.Random(part)
    for _ in range(10):
        content = bytearray(parts[part])
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        if rng.random() < 0.3:
            del content[rng.randrange(len(content)) :]
        refuse(forged({**parts, part: bytes(content)}), tmp_path / "x.secateur")


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [1 << 20, 1 << 20]},
        {"shape": [-1, 5]},
        {"shape": [1, 1, 1 << 20]},
        {"shape": "ab"},
        {"clusters": 300},
        {"clusters": -1},
        {"bits": 99},
        {"bits": 32},
        {"symmetric": -26},
        {"unit": 10**9},
        {"kind": "other"},
        {"stored": "object"},
        {"stored": "V4"},
        {"dtype": "nothing"},
        {"dtype": "U9999999"},
        {"dtype": "object"},
    ],
)
def test_forged_manifests_are_refused(change, small, tmp_path):
    parts, manifest = opened(small)
    for number, entry in enumerate(manifest["tensors"]):
        tensors = list(manifest["tensors"])
        tensors[number] = {**entry, **change}
        refuse(with_manifest(parts, {**manifest, "tensors": tensors}), tmp_path / "x.secateur")
    tensors = [{**entry, "shape": [1 << 15, 1 << 15]} for entry in manifest["tensors"]]
    content = with_manifest(parts, {**manifest, "tensors": tensors})
    assert "too large" in refuse(content, tmp_path / "x.secateur")
