"""The packed file: exact round trips, sizes against the entropy, and every kind of damage."""

import dataclasses
import json
import random
import tracemalloc
import zlib

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load as read_safetensors
from safetensors.numpy import save as write_safetensors

from core import models
from core.compress import codec
from core.compress.affine import Affine, quantize, quantize_model
from core.compress.codec import load, pack, save, unpack
from core.compress.kmeans import Codebook, share_model, share_weights
from core.compress.packed.writer import coded_bytes
from core.errors import UserError
from core.models.card import ModelCard
from core.models.parameters import prunable_weights

CARD = ModelCard(
    model="ResNet20",
    classes=("cat", "größer", "犬"),
    mean=(0.49, 0.48, 0.45),
    std=(0.247, 0.2435, 0.2616),
    side=32,
    recipes=({"kind": "train", "prune": {"density": 0.05}}, {"kind": "kmeans", "clusters": 5}),
)


def network(name="LeNet5", density=1.0):
    """A network that looks trained: BatchNorm has been used, and the smallest weights are pruned in
    each layer.
    """
    torch.manual_seed(0)
    model = models.build(name, 10)
    model(torch.randn(4, 3, 32, 32))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
    for weight in prunable_weights(model).values():
        weight.data[weight.abs() < weight.abs().flatten().quantile(1 - density)] = 0
    return model


def same(first, second):
    """Bit for bit, also the sign of zero and the bits of NaN."""
    return (
        first.dtype == second.dtype
        and first.shape == second.shape
        and torch.equal(first.flatten().view(torch.uint8), second.flatten().view(torch.uint8))
    )


def assert_round_trip(state, **options):
    data, ledger = pack(state, CARD, **options)
    packed = unpack(data)
    assert list(packed.tensors) == list(state)
    for name, tensor in packed.state().items():
        expected = state[name] if isinstance(state[name], torch.Tensor) else state[name].decode()
        assert same(tensor, expected), name
    assert packed.card == CARD
    assert packed.ledger == ledger
    assert ledger.total == len(data)
    assert ledger.total == (
        ledger.masks
        + ledger.indices
        + ledger.tables
        + ledger.codebooks
        + ledger.rest
        + ledger.header
    )
    return packed


@pytest.mark.parametrize("density", [1.0, 0.1])
@pytest.mark.parametrize("clusters", [2, 5, 32, 256])
def test_codebooks_come_back_exactly(clusters, density):
    model = network(density=density)
    books = share_model(model, clusters, init="density")
    packed = assert_round_trip({**model.state_dict(), **books})
    for name, book in books.items():
        found = packed.tensors[name]
        assert isinstance(found, Codebook)
        assert torch.equal(found.centroids, book.centroids)
        assert torch.equal(found.indices, book.indices)
        assert (found.mask is None) == (book.mask is None)
    model.load_state_dict(packed.state())


@pytest.mark.parametrize("bits", [2, 3, 8])
@pytest.mark.parametrize("axis", [None, 0])
@pytest.mark.parametrize("symmetric", [False, True])
def test_grids_come_back_exactly(bits, axis, symmetric):
    model = network(density=0.5)
    grids = quantize_model(model, bits, axis, symmetric)
    packed = assert_round_trip({**model.state_dict(), **grids})
    for name, grid in grids.items():
        found = packed.tensors[name]
        assert isinstance(found, Affine)
        assert dataclasses.astuple(found)[3:] == (bits, axis)
        assert all(
            same(getattr(found, field), getattr(grid, field))
            for field in ("values", "scale", "zero_point")
        )


@pytest.mark.parametrize("density", [1.0, 0.3])
def test_float_weights_come_back_exactly(density):
    packed = assert_round_trip(network("ResNet20", density).state_dict())
    convolutions = [
        packed.tensors[name] for name in packed.tensors if "layer3" in name and "conv" in name
    ]
    assert len(convolutions) == 6
    assert all(isinstance(item, torch.Tensor) for item in convolutions)
    assert (packed.ledger.masks > 0) == (density < 1)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(3.5),
        torch.tensor(7),
        torch.empty(0),
        torch.empty(2, 0, 3),
        torch.zeros(40, 40),
        torch.ones(500),
        torch.tensor([0.0, -0.0, float("nan"), float("inf"), -float("inf")]),
        torch.tensor([0.0, -0.0] * 500),
        torch.cat([torch.zeros(999), torch.tensor([float("nan")])]),
        torch.arange(6).reshape(2, 3),
        torch.tensor([True]),
        torch.randn(300).half(),
        torch.randn(300).bfloat16(),
        torch.zeros(300).bfloat16(),
        torch.randn(9).double(),
        torch.tensor([2**40, -1]),
        torch.tensor([1, 255], dtype=torch.uint8),
        torch.randn(4, 6).t(),
        torch.full((70,), 1e-42),
    ],
)
@pytest.mark.parametrize("rest", ["float32", "float16"])
def test_any_tensor_of_a_state_dict(tensor, rest):
    if rest == "float16" and tensor.dtype == torch.float32:
        found = unpack(pack({"x": tensor}, CARD, rest)[0]).state()["x"]
        assert found.dtype == torch.float32
        exact = tensor.nan_to_num(7.0)
        assert torch.equal(found.nan_to_num(7.0), exact) or torch.equal(
            found.nan_to_num(7.0), exact.half().float()
        )
    else:
        assert_round_trip({"x": tensor}, rest=rest)


@pytest.mark.parametrize(
    "weight", [torch.zeros(9, 9), torch.full((9, 9), 0.5), torch.eye(9), torch.tensor([[2.0]])]
)
def test_degenerate_codebooks_and_grids(weight):
    assert_round_trip(
        {"a": share_weights(weight, 5), "b": quantize(weight), "c": share_weights(weight, 2, False)}
    )


def test_a_plain_tensor_of_few_values_is_stored_as_the_codebook_it_is():
    model = network(density=0.1)
    books = share_model(model, 5)
    plain = {**model.state_dict(), **{name: book.decode() for name, book in books.items()}}
    packed = assert_round_trip(plain)
    assert packed.ledger == pack({**model.state_dict(), **books}, CARD)[1]


def test_float16_halves_the_rest_and_only_that():
    model = network("ResNet20")
    state = {**model.state_dict(), **share_model(model, 32)}
    exact, half = pack(state, CARD)[1], pack(state, CARD, rest="float16")[1]
    counters = sum(
        tensor.nbytes for tensor in model.state_dict().values() if tensor.dtype == torch.int64
    )
    assert half.rest - counters == (exact.rest - counters) / 2
    assert (half.masks, half.indices, half.codebooks) == (
        exact.masks,
        exact.indices,
        exact.codebooks,
    )


def test_numbers_that_float16_cannot_hold_stay_in_float32():
    state = {"big": torch.tensor([1e6, 1.0 + 2**-20]), "small": torch.tensor([1.0, 1.0 + 2**-20])}
    found = unpack(pack(state, CARD, rest="float16")[0]).state()
    assert torch.equal(found["big"], state["big"])
    assert found["small"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("clusters", "density"), [(5, 1.0), (32, 1.0), (256, 1.0), (5, 0.3), (32, 0.3)]
)
def test_within_three_percent_of_the_entropy_bound(clusters, density):
    model = network("ResNet20", density)
    books = share_model(model, clusters, init="density")
    ledger = pack({**model.state_dict(), **books}, CARD)[1]
    bound = 0.0
    for book in books.values():
        for symbols in (
            [book.indices[book.mask], book.mask] if book.mask is not None else [book.indices]
        ):
            shares = symbols.flatten().int().bincount().double() / symbols.numel()
            bound -= (
                float((shares[shares > 0].log2() * shares[shares > 0]).sum()) * symbols.numel() / 8
            )
    assert ledger.bound == pytest.approx(bound)
    uncoded = 4 * sum(book.centroids.numel() for book in books.values()) + sum(
        tensor.nbytes for name, tensor in model.state_dict().items() if name not in books
    )
    assert ledger.total <= 1.03 * (bound + uncoded)
    assert ledger.masks + ledger.indices >= bound
    assert ledger.float_bytes == sum(tensor.nbytes for tensor in model.state_dict().values())
    assert ledger.ratio == ledger.float_bytes / ledger.total


@pytest.mark.parametrize("bits", [4, 8])
def test_grids_are_within_three_percent_of_their_entropy_bound(bits):
    model = network("ResNet20")
    ledger = pack({**model.state_dict(), **quantize_model(model, bits, axis=0)}, CARD)[1]
    assert ledger.total <= 1.03 * (ledger.bound + ledger.codebooks + ledger.rest)


@pytest.mark.parametrize("density", [1.0, 0.3])
def test_what_a_weight_will_take_is_known_before_packing(density):
    model = network(density=density)
    for items in (
        share_model(model, 5),
        quantize_model(model, 4),
        quantize_model(model, 8, axis=0, symmetric=True),
    ):
        ledger = pack(items, CARD)[1]
        expected = sum(map(coded_bytes, items.values()))
        assert ledger.masks + ledger.indices + ledger.codebooks == pytest.approx(
            expected, rel=0.005
        )


def test_a_file_on_disk(tmp_path):
    model = network(density=0.2)
    state = {**model.state_dict(), **share_model(model, 5)}
    ledger = save(tmp_path / "small.safetensors", state, CARD)
    assert [path.name for path in tmp_path.iterdir()] == ["small.safetensors"]
    assert (
        (tmp_path / "small.safetensors").stat().st_size
        == ledger.total
        == load(tmp_path / "small.safetensors").ledger.total
    )
    assert load(tmp_path / "small.safetensors").card == CARD
    with safe_open(tmp_path / "small.safetensors", framework="np") as file:
        metadata = file.metadata()
    assert metadata["network"] == "ResNet20"
    assert json.loads(metadata["classes"]) == ["cat", "größer", "犬"]
    assert json.loads(metadata["recipes"])[0]["prune"] == {"density": 0.05}


def test_packing_is_deterministic():
    state = network(density=0.2).state_dict()
    assert pack(state, CARD)[0] == pack(state, CARD)[0]


def test_an_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "small.safetensors"
    save(path, {"x": torch.ones(3)}, CARD)
    monkeypatch.setattr(
        "core.files.os.fsync",
        lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")),
    )
    with pytest.raises(OSError, match="No space"):
        save(path, {"x": torch.zeros(3)}, CARD)
    monkeypatch.undo()
    assert load(path).state()["x"].tolist() == [1, 1, 1]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"absent\.safetensors cannot be read"):
        load(tmp_path / "absent.safetensors")


@pytest.mark.parametrize(
    "wrong",
    [{"network": ""}, {"side": 0}, {"mean": (0.5,)}, {"std": (0.2, 0.0, 0.2)}, {"other": 1}],
)
def test_a_card_is_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ModelCard(**{**CARD.model_dump(), **wrong})


# Damage: the file's bytes changed, with and without a checksum that was made to agree.


@pytest.fixture(scope="module")
def small():
    """A file with every kind of entry, and its state."""
    model = network(density=0.3)
    state = {**model.state_dict(), **share_model(model, 5)}
    state["scattered"] = torch.randn(40, 50) * (torch.rand(40, 50) < 0.3)
    state |= {"free": torch.randn(40), "n": torch.tensor(7)}
    state["grid"] = quantize(torch.randn(6, 9), 3, axis=0)
    state["symmetric"] = quantize(torch.randn(6, 9), 4, symmetric=True)
    return pack(state, CARD)[0]


def opened(data):
    """The arrays, the metadata and the manifest of a packed file."""
    length = int.from_bytes(data[:8], "little")
    arrays = read_safetensors(data)
    manifest = json.loads(zlib.decompress(arrays["manifest"].tobytes()))
    return arrays, json.loads(data[8 : 8 + length])["__metadata__"], manifest


def forged(arrays, metadata, manifest=None):
    """A file with these contents, under a checksum that agrees."""
    if manifest is not None:
        text = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
        arrays = {**arrays, "manifest": np.frombuffer(zlib.compress(text), np.uint8)}
    metadata = {key: value for key, value in metadata.items() if key != "sha256"}
    metadata["sha256"] = codec._digest(arrays, metadata)
    return write_safetensors(arrays, metadata)


def assert_refused(data):
    tracemalloc.start()
    try:
        with pytest.raises(
            UserError,
            match=r"^upload is not a packed network|^upload was packed by another version",
        ):
            unpack(data, "upload")
        assert tracemalloc.get_traced_memory()[1] < 60e6
    finally:
        tracemalloc.stop()


def test_the_forger_can_forge(small):
    arrays, metadata, manifest = opened(small)
    found = unpack(forged(arrays, metadata, manifest)).state()
    assert all(same(tensor, found[name]) for name, tensor in unpack(small).state().items())


@pytest.mark.parametrize("seed", range(4))
def test_random_damage_is_found(small, seed):
    rng, original = random.Random(seed), unpack(small).state()
    for _ in range(100):
        data = bytearray(small)
        kind = rng.choice(["flip", "flips", "cut", "grow", "zero", "swap"])
        if kind == "flip":
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif kind == "flips":
            for _ in range(20):
                data[rng.randrange(rng.choice([len(data), 1200]))] = rng.randrange(256)
        elif kind == "cut":
            del data[rng.randrange(len(data)) :]
        elif kind == "grow":
            data += rng.randbytes(rng.randrange(1, 50))
        else:
            start = rng.randrange(len(data) - 64)
            data[start : start + 64] = (
                bytes(64) if kind == "zero" else data[start : start + 64][::-1]
            )
        try:
            found = unpack(bytes(data), "upload").state()
        except UserError:
            continue
        assert all(same(tensor, found[name]) for name, tensor in original.items()), kind


@pytest.mark.parametrize("seed", range(4))
def test_random_forgeries_are_refused_or_read(small, seed):
    """Arrays and manifest changed at random under a good checksum: a refusal, or some network of
    the shapes named.
    """
    rng = random.Random(seed)
    for _ in range(60):
        arrays, metadata, manifest = opened(small)
        arrays = {name: array.copy() for name, array in arrays.items()}
        target = rng.choice([*arrays, "entry", "entry", "card"])
        if target == "entry":
            field = rng.choice(
                [
                    "name",
                    "kind",
                    "shape",
                    "dtype",
                    "stored",
                    "clusters",
                    "masked",
                    "bits",
                    "axis",
                    "symmetric",
                ]
            )
            rng.choice(manifest)[field] = rng.choice(
                [0, 1, 2, 3, 256, -1, 2**33, None, "raw", [], [3], True, 0.5]
            )
            data = forged(arrays, metadata, manifest)
        elif target == "card":
            metadata[rng.choice(list(metadata))] = rng.choice(
                ["", "{}", "[]", "-1", "null", "[[[", "1e999", '"x"']
            )
            data = forged(arrays, metadata)
        else:
            array = arrays[target]
            if rng.random() < 0.5 and len(array):
                array.view(np.uint8)[rng.randrange(array.nbytes)] ^= 1 << rng.randrange(8)
            else:
                arrays[target] = array[: rng.randrange(len(array) + 1)]
            data = forged(arrays, metadata)
        try:
            packed = unpack(data, "upload")
        except UserError:
            continue
        _, _, named = opened(data)
        assert [list(tensor.shape) for tensor in packed.state().values()] == [
            entry["shape"] for entry in named
        ]


@pytest.mark.parametrize(
    "shape",
    [
        [2**39, 2**39],
        [2**20, 2**20],
        [2**31],
        [2**26],
        [2**39, 0],
        [1] * 9,
        [-1],
        [1.5],
        [2**70],
        "x",
        [[3]],
        None,
    ],
)
@pytest.mark.parametrize("kind", ["raw", "sparse", "codebook", "affine"])
def test_hostile_shapes_allocate_nothing(small, kind, shape):
    arrays, metadata, _ = opened(small)
    assert_refused(
        forged(arrays, metadata, [{"name": "w", "kind": kind, "shape": shape, "clusters": 5}])
    )


def test_a_known_network_may_be_as_large_as_it_is_and_others_not():
    empty = {"w": torch.zeros(4200, 4200)}  # 17.6 million weights in next to no bytes
    assert torch.equal(
        unpack(pack(empty, CARD.model_copy(update={"model": "ResNet34"}))[0]).state()["w"],
        empty["w"],
    )
    with pytest.raises(UserError, match="My net is pruned so far"):
        pack(empty, CARD.model_copy(update={"model": "My net"}))


@pytest.mark.parametrize(
    "shapes", [[[2**25]], [[2**24 - 1]] * 5, [[2**30, 2**30]], [[4096]] * 20_000]
)
def test_too_many_weights_are_refused_before_any_is_read(small, shapes, monkeypatch):
    arrays, metadata, _ = opened(small)
    manifest = [
        {"name": str(i), "kind": "codebook", "shape": shape, "clusters": 1}
        for i, shape in enumerate(shapes)
    ]
    monkeypatch.setattr(codec, "Reader", lambda blobs: pytest.fail("began to read"))
    assert_refused(forged(arrays, metadata, manifest))


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"null",
        b"{}",
        b"[1]",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b"\xff\xfe",
        b"[" + b" " * (1 << 25) + b"]",
        b"[" + b"1," * 100_000 + b"1]",
        b'[{"name":"a","kind":"raw","shape":[0],"extra":1}]',
        b'[{"name":"a","kind":"raw","shape":[0]},{"name":"a","kind":"raw","shape":[0]}]',
    ],
)
def test_hostile_manifests(small, manifest):
    arrays, metadata, _ = opened(small)
    assert_refused(forged(arrays, metadata, manifest))


@pytest.mark.parametrize(
    "name", ["codebooks", "tables", "rest", "masks", "indices", "zero_points", "manifest"]
)
@pytest.mark.parametrize("change", ["shorter", "longer", "missing", "matrix", "other dtype"])
def test_hostile_arrays(small, name, change):
    arrays, metadata, _ = opened(small)
    array = arrays.pop(name)
    longer = np.append(array, np.ones(3, array.dtype))
    arrays |= {
        "shorter": {name: array[:-1]},
        "longer": {name: longer},
        "missing": {},
        "matrix": {name: array[None]},
        "other dtype": {name: array.view(np.int8)},
    }[change]
    if change == "missing":
        with pytest.raises(UserError, match="not a packed network"):
            unpack(write_safetensors(arrays, metadata))
    else:
        assert_refused(forged(arrays, metadata))


def test_streams_that_end_in_a_zero_word(small):
    arrays, metadata, _ = opened(small)
    arrays["indices"] = np.append(arrays["indices"], np.uint32(0))
    assert_refused(forged(arrays, metadata))


@pytest.mark.parametrize("centroids", [[np.nan, 1.0], [np.inf, np.inf], [2.0, 1.0]])
def test_codebooks_that_are_not_sorted_numbers(small, centroids):
    arrays, metadata, _ = opened(
        pack({"w": share_weights(torch.tensor([1.0, 2.0, 2.0] * 40), 2)}, CARD)[0]
    )
    arrays["codebooks"] = np.array(centroids, np.float32)
    assert_refused(forged(arrays, metadata))


@pytest.mark.parametrize("scale", [np.nan, np.inf, 0.0, -1.0])
def test_scales_that_are_not_positive_numbers(scale):
    arrays, metadata, _ = opened(pack({"w": quantize(torch.randn(40))}, CARD)[0])
    arrays["codebooks"] = np.array([scale], np.float32)
    assert_refused(forged(arrays, metadata))


def test_a_deflated_bomb(small):
    arrays, metadata, _ = opened(small)
    arrays["tables"] = np.frombuffer(zlib.compress(bytes(1 << 25), 9), np.uint8)
    assert_refused(forged(arrays, metadata))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        bytes(8),
        b"\xff" * 8,
        b"\xff" * 100,
        (1 << 40).to_bytes(8, "little") + b"{}",
        b"\x02" + bytes(7) + b"{}",
        b"PK\x03\x04" + bytes(100),
        b"\x80\x04\x95" + bytes(100),
        (8).to_bytes(8, "little") + b"[[[[[[[[",
        write_safetensors({"weight": np.zeros(3, np.float32)}, {"format": "pt"}),
        write_safetensors({"weight": np.zeros(3, np.float32)}),
    ],
)
def test_files_of_other_kinds(data):
    assert_refused(data)


def test_another_version_says_so(small):
    arrays, metadata, _ = opened(small)
    with pytest.raises(UserError, match="upload was packed by another version"):
        unpack(forged(arrays, {**metadata, "format": "secateur-packed-99"}), "upload")
