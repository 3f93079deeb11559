"""Headers of safetensors files: read as the library reads them, and refused where they lie."""

import json
import random
import struct
import subprocess
import sys

import numpy as np
import pytest
from safetensors import SafetensorError, deserialize, safe_open
from safetensors.numpy import load, save

from core.models import tensor_file
from core.models.tensor_file import (
    MAX_HEADER,
    TensorEntry,
    TensorHeader,
    header_of,
    read_header,
    with_sorted_metadata,
)

ARRAYS: dict[str, np.ndarray] = {
    "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "count": np.array(3, np.int64),
    "nothing": np.zeros((0, 4), np.uint8),
    "half": np.ones(5, np.float16),
    "flags": np.array([True, False]),
}
METADATA = {"z": "last", "b": "second", "a": "ü"}
FILE = with_sorted_metadata(save(ARRAYS, METADATA))  # the library's order differs in every process


def file_of(header, data=b""):
    """A file with this header, as bytes or as what JSON should say."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(begin=0, end=8, shape=(2,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def test_it_imports_without_torch():
    program = "import sys, core.models.tensor_file; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# -- files that the library writes --


def test_a_header_is_what_the_library_reads(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(FILE)
    header = read_header(path)
    with safe_open(path, "numpy") as file:
        assert header.metadata == file.metadata()
        assert set(header.tensors) == set(file.keys())
        for name, tensor in header.tensors.items():
            assert list(tensor.shape) == file.get_slice(name).get_shape()
            assert tensor.dtype == file.get_slice(name).get_dtype()
            assert tensor.nbytes == file.get_tensor(name).nbytes


def test_bytes_and_files_have_the_same_header(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(FILE)
    assert header_of(FILE) == read_header(path)


def test_a_file_without_metadata():
    header = header_of(save({"a": np.ones(2, np.float32)}))
    assert header == TensorHeader({"a": TensorEntry("F32", (2,), 8)}, {})


def test_a_file_without_tensors():
    assert header_of(save({})) == TensorHeader({}, {})
    assert header_of(file_of({"__metadata__": None})) == TensorHeader({}, {})


@pytest.mark.parametrize(
    ("dtype", "width"),
    [("BOOL", 1), ("U8", 1), ("F8_E4M3", 1), ("BF16", 2), ("I32", 4), ("F64", 8), ("C64", 8)],
)
def test_every_type_has_its_size(dtype, width):
    data = file_of({"a": entry(0, 3 * width, [3], dtype)}, bytes(3 * width))
    assert header_of(data).tensors["a"] == TensorEntry(dtype, (3,), 3 * width)
    deserialize(data)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_header(tmp_path / "gone")


# -- sorted metadata --


def test_metadata_are_sorted_and_nothing_else_changes():
    data = with_sorted_metadata(FILE)
    assert list(header_of(data).metadata) == sorted(METADATA)
    assert header_of(data) == header_of(FILE)
    arrays = load(data)
    assert all(np.array_equal(arrays[name], array) for name, array in ARRAYS.items())
    assert int.from_bytes(data[:8], "little") % 8 == 0


def test_equal_content_gives_equal_bytes():
    one_order = with_sorted_metadata(save(ARRAYS, METADATA))
    other_order = with_sorted_metadata(save(ARRAYS, dict(reversed(METADATA.items()))))
    assert one_order == other_order == with_sorted_metadata(one_order)


# -- files that lie --


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        struct.pack("<Q", 0),
        struct.pack("<Q", 2**64 - 1) + FILE[8:],
        struct.pack("<Q", len(FILE)) + FILE[8:],
        FILE[:-1],
        FILE + b"\0",
        FILE[:40],
        file_of(b"{\xff\xfe}"),
        file_of(json.dumps({"a": 1}).encode("utf-16")),
        file_of(b"{"),
        file_of([1]),
        file_of("text"),
        file_of(None),
        file_of(b"[" * 100_000 + b"]" * 100_000),
        file_of(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
        file_of(b'{"__metadata__":{"a":"1","a":"2"}}'),
        file_of({"__metadata__": [1]}),
        file_of({"__metadata__": []}),
        file_of({"__metadata__": "text"}),
        file_of({"__metadata__": {"a": 1}}),
        file_of({"__metadata__": {"a": None}}),
        file_of({"a": 3}),
        file_of({"a": {"dtype": "F32"}}),
        file_of({"a": entry(dtype="F99")}, bytes(8)),
        file_of({"a": entry(shape=[-2])}, bytes(8)),
        file_of({"a": entry(shape=[2.0])}, bytes(8)),
        file_of({"a": entry(shape=[True, 2])}, bytes(8)),
        file_of({"a": entry(shape=["2"])}, bytes(8)),
        file_of({"a": entry(shape=[3])}, bytes(8)),
        file_of({"a": entry(shape=[2**62, 4])}, bytes(8)),
        file_of({"a": entry(shape=[10**100])}, bytes(8)),
        file_of({"a": entry(shape=[1] * 100 + [2])}, bytes(8)),
        file_of({"a": entry(1, 9)}, bytes(9)),
        file_of({"a": entry(8, 0)}, bytes(8)),
        file_of({"a": entry(-8, 0)}, bytes(8)),
        file_of({"a": entry(0, 2**40, [2**38])}, bytes(8)),
        file_of({"a": entry(0, 8), "b": entry(0, 8)}, bytes(8)),
        file_of({"a": entry(0, 8), "b": entry(12, 20)}, bytes(20)),
        file_of({"a": entry(0, 16, [4]), "b": entry(8, 16)}, bytes(16)),
        file_of({"a": {**entry(), "data_offsets": [0, 4, 8]}}, bytes(8)),
        file_of({"a": {**entry(), "data_offsets": 8}}, bytes(8)),
    ],
    ids=lambda data: f"{len(data)} bytes",
)
def test_a_malformed_header_is_a_value_error(data, tmp_path):
    with pytest.raises(ValueError, match=r"."):
        header_of(data)
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"."):
        read_header(path)


def test_names_may_not_repeat():
    one, other = json.dumps(entry(0, 8)), json.dumps(entry(8, 16))
    data = file_of(f'{{"a":{one},"a":{other}}}'.encode(), bytes(16))
    with pytest.raises(ValueError, match="a name occurs twice"):
        header_of(data)


def test_a_large_header_is_not_read(tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", MAX_HEADER + 1) + b"{")
        file.truncate(100 * MAX_HEADER)  # a hole, which takes no room on the disk
    with pytest.raises(ValueError, match="a header must have"):
        read_header(path)


def test_the_limit_is_inclusive(monkeypatch):
    length = int.from_bytes(FILE[:8], "little")
    monkeypatch.setattr(tensor_file, "MAX_HEADER", length)
    header_of(FILE)
    monkeypatch.setattr(tensor_file, "MAX_HEADER", length - 1)
    with pytest.raises(ValueError, match="a header must have"):
        header_of(FILE)


def test_damaged_files_are_refused_as_the_library_does():
    dice = random.Random(0)
    length = 8 + int.from_bytes(FILE[:8], "little")
    accepted = 0
    for _ in range(3000):
        data = bytearray(FILE)
        for _ in range(dice.choice([1, 2, 5])):
            data[dice.randrange(length)] = dice.randrange(256)
        try:
            header = header_of(bytes(data))
        except ValueError:
            continue
        accepted += 1
        library = dict(deserialize(bytes(data)))
        assert {name: list(tensor.shape) for name, tensor in header.tensors.items()} == {
            name: tensor["shape"] for name, tensor in library.items()
        }
    assert accepted > 20


def test_damaged_files_that_the_library_reads_are_read():
    dice = random.Random(1)
    length = 8 + int.from_bytes(FILE[:8], "little")
    accepted = 0
    for _ in range(3000):
        data = bytearray(FILE)
        data[dice.randrange(length)] = dice.randrange(256)
        try:
            deserialize(bytes(data))
        except SafetensorError:
            continue
        if repeats_a_name(bytes(data)):  # the library takes the last of them
            with pytest.raises(ValueError, match="occurs twice"):
                header_of(bytes(data))
            continue
        header_of(bytes(data))
        accepted += 1
    assert accepted > 100


def repeats_a_name(data):
    """Whether an object in the header of this file, which the library reads, has a name twice."""
    repeats = []

    def note(pairs):
        repeats.append(len(dict(pairs)) < len(pairs))
        return dict(pairs)

    length = int.from_bytes(data[:8], "little")
    json.loads(data[8 : 8 + length], object_pairs_hook=note)
    return any(repeats)
