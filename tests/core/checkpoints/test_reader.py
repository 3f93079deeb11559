"""Other people's checkpoints: every wrapping is understood, and nothing hostile gets further than
one sentence.
"""

import io
import json
import os
import pickle
import random
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as safe
from torch import nn

from core import models
from core.checkpoints import formats, pickles, state_dict
from core.checkpoints.reader import read_checkpoint
from core.errors import UserError
from core.models import saved, tensor_file
from core.models.card import ModelCard
from tests import toys

CARD = ModelCard(
    model="LeNet5",
    dataset="Digits",
    classes=("a", "b"),
    mean=(0.1, 0.2, 0.3),
    std=(1, 1, 1),
    side=32,
)


def small():
    torch.manual_seed(0)
    return toys.Flat().state_dict()


def saved_as(content, modern=True, **options):
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=modern, **options)
    return file.getvalue()


WRITERS = {
    "zip": saved_as,
    "legacy": lambda content: saved_as(content, modern=False),
    "safetensors": safe,
}
FILES = {name: write(small()) for name, write in WRITERS.items()}


def assert_same(state, expected):
    assert set(state) == set(expected)
    for name, tensor in expected.items():
        assert state[name].dtype == tensor.dtype
        assert torch.equal(state[name], tensor), name


def complaint(source, **options):
    """The sentence that the reader refuses with: one line that ends with a full stop."""
    with pytest.raises(UserError) as caught:
        read_checkpoint(source, **options)
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    return text


# -- what is understood --


@pytest.mark.parametrize("form", FILES)
def test_the_tensors_come_as_they_were(form):
    checkpoint = read_checkpoint(FILES[form])
    assert_same(checkpoint.state, small())
    assert checkpoint.card is None
    assert checkpoint.notes == ()


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("name", ["a.pt", "a.safetensors", "a.th", "picture.png"])
def test_a_file_is_what_its_bytes_say(form, name, tmp_path):
    path = tmp_path / name
    path.write_bytes(FILES[form])
    checkpoint = read_checkpoint(path)
    assert_same(checkpoint.state, small())
    assert checkpoint.name == name
    path.unlink()  # nothing holds on to it
    assert all(tensor.sum() is not None for tensor in checkpoint.state.values())


@pytest.mark.parametrize(
    "wrap",
    [
        dict,
        OrderedDict,
        lambda state: {"state_dict": state, "best_prec1": 91.7, "epoch": 3},
        lambda state: {"best_prec1": torch.tensor(91.7), "state_dict": state},
        lambda state: {
            "model_state_dict": state,
            "optimizer_state_dict": {"state": {0: {"momentum": torch.ones(2)}}},
        },
        lambda state: {"net": state, "acc": 95.1},
        lambda state: {"model": {"state_dict": state}},
        lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
        lambda state: {
            "state_dict": {f"module._orig_mod.model.{name}": value for name, value in state.items()}
        },
        lambda state: {
            **state,
            "epoch": 3,
            7: torch.ones(1),
            "note": "hello",
            "args": {"lr": [0.1]},
        },
        lambda state: {
            name: nn.Parameter(value) if value.is_floating_point() else value
            for name, value in state.items()
        },
    ],
)
@pytest.mark.parametrize("modern", [True, False])
def test_wrappings_are_taken_off(wrap, modern):
    assert_same(read_checkpoint(saved_as(wrap(small()), modern)).state, small())


def test_a_prefix_is_told_and_a_part_of_a_name_is_kept():
    names = ["module.conv.weight", "module.module_list.bias"]
    checkpoint = read_checkpoint(saved_as({name: torch.ones(2) for name in names}))
    assert list(checkpoint.state) == ["conv.weight", "module_list.bias"]
    assert "module." in checkpoint.notes[0]
    assert list(
        read_checkpoint(saved_as({"model.a": torch.ones(2), "b": torch.ones(2)})).state
    ) == [
        "model.a",
        "b",
    ]


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_become_float32_and_say_so(form, dtype):
    values = {"a": torch.randn(3, 4).to(dtype), "count": torch.tensor(5)}
    checkpoint = read_checkpoint(WRITERS[form](values))
    assert_same(checkpoint.state, {"a": values["a"].float(), "count": torch.tensor(5)})
    assert str(dtype).removeprefix("torch.") in checkpoint.notes[0]


def test_views_ties_and_strides_become_tensors_of_their_own():
    base = torch.arange(12.0).view(3, 4)
    state = read_checkpoint(
        saved_as({"a": base, "tied": base, "t": base.t(), "last": base[2:]})
    ).state
    assert_same(state, {"a": base, "tied": base, "t": base.t(), "last": base[2:]})
    assert len({tensor.data_ptr() for tensor in state.values()}) == 4
    assert all(tensor.is_contiguous() for tensor in state.values())


def test_layers_of_a_safetensors_file_come_in_the_order_of_their_numbers():
    state = {f"features.{index}.weight": torch.ones(1) for index in (0, 2, 10, 100, 21)}
    assert list(read_checkpoint(safe(state)).state) == [
        f"features.{index}.weight" for index in (0, 2, 10, 21, 100)
    ]


def test_secateurs_own_file_says_what_it_is():
    assert read_checkpoint(saved.model_bytes(small(), CARD)).card == CARD


@pytest.mark.parametrize("said", ["", "{}", "null", "[1]", '{"model": 3}'])
def test_an_invalid_card_is_left_out(said):
    assert read_checkpoint(safe(small(), {"secateur": said, "format": "pt"})).card is None


# -- what is refused --


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize(
    "write",
    [
        saved_as,
        WRITERS["legacy"],
        *(lambda content, n=n: pickle.dumps(content, n) for n in range(6)),
        lambda content: saved_as({"state_dict": {**small(), "x": content}}),
        lambda content: saved_as({**small(), "x": content}, modern=False),
    ],
)
def test_a_pickle_with_code_is_refused_by_what_it_asks_for_and_never_run(write, tmp_path):
    trace = tmp_path / "trace"
    text = complaint(write(Evil(f"touch {trace}")), name="nice.pt")
    assert "contains code, not only weights" in text
    assert "system" in text
    assert not trace.exists()


def test_a_whole_network_is_code():
    text = complaint(saved_as(toys.Flat()))
    assert "contains code" in text
    assert "tests.toys.Flat" in text
    assert "state_dict()" in text


def test_torchscript_is_code():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"net/{name}", b"import os" * 100)
    assert "TorchScript" in complaint(file.getvalue())


@pytest.mark.parametrize(
    "wanted",
    [
        "torch.load",
        "torch.nn.Module",
        "builtins.eval",
        "torch.hub.load",
        "torch.classes",
        "torch.serialization.load",
        "numpy.load",
        "torch.floating.x",
        "torch.save",
        "torch._utils._rebuild_wrapper_subclass",
        "torch.storage._load_from_bytes",
    ],
)
def test_what_a_pickle_may_ask_for_is_a_short_list(wanted):
    module, _, name = wanted.rpartition(".")
    for pickled in (
        f"c{module}\n{name}\n.".encode(),
        b"\x80\x04\x8c"
        + bytes([len(module)])
        + module.encode()
        + b"\x8c"
        + bytes([len(name)])
        + name.encode()
        + b"\x93.",
    ):
        with pytest.raises(UserError, match="contains code"):
            pickles.check_pickle(io.BytesIO(pickled), "x")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ([torch.ones(2)], "a list"),
        (3, "an int"),
        (torch.ones(3), "a tensor"),
        ({}, "no tensors"),
        (None, "nonetype"),
        ({"state_dict": {}}, "no tensors"),
        ({"a": 1}, "no tensors"),
        ({"optimizer": {"a": torch.ones(1)}}, "no tensors"),
        ("text", "a str"),
        ({"state_dict": [1, 2]}, "no tensors"),
    ],
)
@pytest.mark.parametrize("modern", [True, False])
def test_what_is_no_state_dict(content, word, modern):
    text = complaint(saved_as(content, modern))
    assert word.removeprefix("an ").removeprefix("a ") in text
    assert "state dict" in text


def test_a_dict_within_itself():
    content: dict[str, object] = {"epoch": 1}
    content["state_dict"] = content
    assert "no tensors" in complaint(saved_as(content))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("tensor", "word"),
    [
        (lambda: torch.ones(2, dtype=torch.complex64), "complex"),
        (lambda: torch.eye(3).to_sparse(), "sparse"),
        (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "quantized"),
        (lambda: torch.ones(3, device="meta"), "without values"),
        (lambda: torch.tensor([1.0, float("nan")]), "not finite"),
        (lambda: torch.tensor([1e300], dtype=torch.float64), "not finite"),
        (lambda: torch.zeros(1).expand(2**20, 2**20), "1,099,511,627,776"),
    ],
)
@pytest.mark.parametrize("modern", [True, False])
def test_tensors_that_are_not_plain_are_named(tensor, word, modern):
    text = complaint(saved_as({"good": torch.ones(2), "odd.weight": tensor()}, modern))
    assert word in text
    assert "odd.weight" in text


@pytest.mark.parametrize("key", ["a\nb", "x" * 1000, "\x1b[31m"])
def test_names_that_would_spoil_a_sentence(key):
    with pytest.raises(UserError, match="whose name is no name"):
        read_checkpoint(saved_as({key: torch.ones(1)}))


def test_more_tensors_than_any_network_has(monkeypatch):
    monkeypatch.setattr(state_dict, "MAX_TENSORS", 3)
    assert "4 tensors" in complaint(saved_as({f"t{index}": torch.ones(1) for index in range(4)}))


def test_one_storage_many_times_does_not_become_many_megabytes():
    base = torch.ones(1000)
    text = complaint(saved_as({f"t{index}": base[:999] for index in range(2000)}))
    assert "more numbers" in text


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"hello, world, this is text", "no checkpoint"),
        (b"\x00" * 100, "no checkpoint"),
        (pickle.dumps({"a": 1}), "bare pickle"),
        (b"PK\x03\x04" + b"\0" * 100, "damaged"),
        (b"\x80", "damaged"),
    ],
)
def test_what_is_no_checkpoint(content, word):
    assert word in complaint(content)


def test_paths_that_are_no_files(tmp_path):
    assert "no file" in complaint(tmp_path / "gone.pt")
    assert "not a file" in complaint(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such device")
def test_a_device_is_never_read():
    assert "not a file" in complaint(Path("/dev/zero"))


def test_a_file_that_is_too_large_is_not_opened(tmp_path):
    path = tmp_path / "large.pt"
    with path.open("wb") as file:
        file.truncate(5 * 2**30)  # a hole: it takes no room
    assert "GB" in complaint(path)


# -- sizes that are claimed --


def rezipped(data, change=lambda name, content: content, method=zipfile.ZIP_STORED):
    """A modern file whose members went through `change`."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", method) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return out.getvalue()


def test_a_zip_bomb():
    data = rezipped(saved_as({"a": torch.zeros(2_000_000)}), method=zipfile.ZIP_DEFLATED)
    assert len(data) < 20_000
    assert "unpack to 8" in complaint(data)


def test_a_compressed_zip_is_refused_even_if_it_is_small():
    data = rezipped(
        FILES["zip"], lambda name, content: os.urandom(len(content)), zipfile.ZIP_DEFLATED
    )
    assert "zip" in complaint(data)


def test_a_zip_of_something_else():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("photo/cat.png", b"meow")
    assert "zip" in complaint(file.getvalue())


def test_a_zip_whose_contents_would_fill_the_memory(monkeypatch):
    monkeypatch.setattr(formats, "MAX_DIRECTORY", 100)
    assert "damaged" in complaint(FILES["zip"])


COUNT = 70_000
CLAIM = 2**31 - 1


@pytest.mark.parametrize("modern", [True, False])
def test_a_storage_that_claims_more_than_there_is(modern):
    def claim(name, content):
        return content.replace(b"J" + struct.pack("<i", COUNT), b"J" + struct.pack("<i", CLAIM))

    data = saved_as({"a": torch.zeros(COUNT)}, modern)
    data = rezipped(data, claim) if modern else claim("", data)
    text = complaint(data)
    assert "damaged" in text or "more numbers" in text


def test_a_storage_that_borrows_from_what_follows_it_is_not_read_beyond_the_file():
    data = rezipped(
        saved_as({"a": torch.zeros(300)}),
        lambda name, content: content[:40] if "/data/" in name else content,
    )
    assert "damaged" in complaint(data)


def test_a_pickle_of_many_megabytes(monkeypatch):
    monkeypatch.setattr(pickles, "MAX_PICKLE_BYTES", 1000)
    assert "in addition to its weights" in complaint(
        saved_as({"a": torch.ones(1), "log": ["x" * 100] * 3 + ["y" * 2000, 1]})
    )


@pytest.mark.parametrize("claim", [2**40, 2**63, 2**64 - 1])
def test_a_safetensors_header_that_claims_to_be_long(claim):
    assert "no checkpoint" in complaint(struct.pack("<Q", claim) + FILES["safetensors"][8:])


def test_a_safetensors_header_that_is_too_long(monkeypatch):
    monkeypatch.setattr(tensor_file, "MAX_HEADER", 100)
    assert "damaged" in complaint(FILES["safetensors"])


def with_header(header, data=b"\0" * 16):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(begin, end, shape=(2,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    "data",
    [
        with_header(
            b'{"a":'
            + json.dumps(entry(0, 8)).encode()
            + b',"a":'
            + json.dumps(entry(8, 16)).encode()
            + b"}"
        ),
        with_header({"a": entry(0, 2**40, [2**38])}),
        with_header({"a": entry(0, 16, [2**62, 4])}),
        with_header({"a": entry(8, 16), "b": entry(0, 16, [4])}),
        with_header({"a": entry(0, 8, [-2])}),
        with_header({"a": entry(0, 16, [4], "F99")}),
        with_header({"a": 3}),
        with_header(b"{" + b"[" * 100_000),
        with_header(b'{"a":' * 20_000 + b"1" + b"}" * 20_000),
        with_header(b"{\xff\xfe}"),
        with_header({"a": entry(0, 16)}),
        with_header({"__metadata__": [1], "a": entry(0, 16, [4])}),
        with_header({"__metadata__": {"format": {}}, "a": entry(0, 16, [4])}),
    ],
)
def test_safetensors_headers_that_lie(data):
    assert "damaged" in complaint(data)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FILES)
def test_cut_and_flipped_files_give_a_sentence_or_a_state_dict(form):
    dice, data, refused = random.Random(form), FILES[form], 0
    torn = [bytearray(data[: dice.randrange(len(data))]) for _ in range(100)] + [
        bytearray(data) for _ in range(300)
    ]
    for index, file in enumerate(torn):
        for _ in range(dice.choice([1, 4, 30]) if index >= 100 else 0):
            file[dice.randrange(len(file))] = dice.randrange(256)
        try:
            state = read_checkpoint(bytes(file)).state
        except UserError:  # anything else would fail the test
            refused += 1
        else:
            assert sum(value.numel() * value.itemsize for value in state.values()) <= len(data)
    assert refused > 100


@pytest.mark.filterwarnings("ignore::DeprecationWarning:pickletools")
def test_random_bytes():
    dice = random.Random(0)
    for start in (
        b"",
        b"PK\x03\x04",
        bytes.fromhex("80028a0a6cfc9c46f9206aa850192e"),
        b"\x80\x02",
        b"c",
        struct.pack("<Q", 50) + b"{",
    ):
        for _ in range(60):
            complaint(start + dice.randbytes(dice.randrange(1, 300)))


def test_a_networks_file_round_trips():
    state = models.build("LeNet5", 10).state_dict()
    assert_same(read_checkpoint(saved.model_bytes(state, CARD)).state, state)
