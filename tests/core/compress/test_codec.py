"""The packed file: exact round trips, sizes against the entropy, and every kind of damage."""

import dataclasses
import json
import random
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load as read_safetensors
from safetensors.numpy import save as write_safetensors

from core import models
from core.compress.affine import Affine, QuantizedWeight, quantize, quantize_model
from core.compress.codec import load, pack, save, unpack
from core.compress.kmeans import Codebook, share_model, share_weights
from core.compress.packed import parts as parts_module
from core.compress.packed import reader as reader_module
from core.compress.packed.container import PARTS, join_parts, split_parts
from core.compress.packed.dictionary import MANIFEST_DICTIONARY
from core.compress.packed.planes import deflate, deflate_text, inflate, write_planes
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
    assert half.rest < 0.65 * exact.rest
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
def test_never_much_larger_than_the_entropy_of_the_frequencies(clusters, density):
    """Untrained weights have next to nothing in common, so contexts cannot help."""
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
    assert ledger.masks + ledger.indices <= 1.005 * bound + 8
    uncoded = 4 * sum(book.centroids.numel() for book in books.values()) + sum(
        tensor.nbytes for name, tensor in model.state_dict().items() if name not in books
    )
    assert ledger.total <= 1.03 * (bound + uncoded)
    assert ledger.float_bytes == sum(tensor.nbytes for tensor in model.state_dict().values())
    assert ledger.ratio == ledger.float_bytes / ledger.total


@pytest.mark.parametrize("bits", [4, 8])
def test_integers_are_never_much_larger_than_their_entropy(bits):
    model = network("ResNet20")
    ledger = pack({**model.state_dict(), **quantize_model(model, bits, axis=0)}, CARD)[1]
    assert ledger.masks + ledger.indices <= 1.005 * ledger.bound + 8


def alike(shape, seed=0):
    """Weights of a convolution in which channels differ and neighbours resemble each other."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(shape, generator=generator)
    smooth = (weight + weight.roll(1, 2) + weight.roll(1, 3) + weight.roll((1, 1), (2, 3))) / 2
    return smooth * torch.exp(torch.randn(shape[0], 1, 1, 1, generator=generator))


@pytest.mark.parametrize(
    ("quantized", "most"),
    [
        (lambda weight: share_weights(weight, 5), 0.8),
        (lambda weight: share_weights(weight, 32), 0.9),
        (lambda weight: quantize(weight, 4), 0.8),
        (lambda weight: quantize(weight, 8), 0.95),
        (lambda weight: quantize(weight, 8, axis=0, symmetric=True), 0.99),
    ],
)
def test_contexts_find_channels_and_neighbours(quantized, most):
    items = {str(i): quantized(alike((64, 48, 3, 3), i)) for i in range(2)}
    packed = assert_round_trip(items)
    assert packed.ledger.indices < most * packed.ledger.bound


def test_masks_of_pruned_channels_take_little():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(64, 64, 3, 3, generator=generator)
    densities = torch.rand(64, 1, 1, 1, generator=generator) ** 4
    weight[torch.rand(weight.shape, generator=generator) > densities] = 0
    packed = assert_round_trip({"w": weight})
    assert packed.ledger.masks < 0.8 * packed.ledger.bound


@pytest.mark.parametrize(
    "shape",
    [
        (1, 400),
        (400, 1),
        (500,),
        (1, 1, 40, 40),
        (40, 1, 5, 5),
        (1, 40, 7, 3),
        (30, 20, 9),
        (12, 10, 3, 2, 4),
        (200, 300),
        (0, 3, 3, 3),
        (3, 0, 3, 3),
        (2, 2, 2, 2, 2, 2, 2, 2),
    ],
)
@pytest.mark.parametrize("density", [1.0, 0.4, 0.03, 0.0])
def test_weights_of_any_shape(shape, density):
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(shape, generator=generator)
    weight[torch.rand(shape, generator=generator) >= density] = 0
    items: dict[str, torch.Tensor | QuantizedWeight] = {"plain": weight}
    if weight.numel():
        items |= {
            "five": share_weights(weight, 5),
            "many": share_weights(weight, 40, keep_zeros=False),
            "whole": quantize(weight, 8),
            "channels": quantize(weight, 5, axis=0),
            "symmetric": quantize(weight, 7, axis=0, symmetric=True),
        }
    assert_round_trip(items)


def test_random_networks_come_back_exactly():
    rng = random.Random(0)
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        items = {}
        for layer in range(rng.randint(1, 4)):
            shape = [rng.choice([1, 3, 16, 40]), rng.choice([1, 2, 24])]
            shape += rng.choice([[], [1, 1], [3, 3], [5], [2, 3, 2]])
            weight = torch.randn(shape, generator=generator)
            weight *= torch.rand(shape, generator=generator) < rng.choice([1, 0.5, 0.05])
            quantized = rng.choice(
                [
                    weight,
                    share_weights(weight, rng.choice([2, 3, 16, 256]), rng.random() < 0.5),
                    quantize(weight, rng.randint(2, 8), rng.choice([None, 0]), rng.random() < 0.5),
                ]
            )
            items[f"layer{layer}"] = quantized
        assert_round_trip(items)


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
        in_file = ledger.masks + ledger.indices + ledger.codebooks + ledger.tables
        assert in_file == pytest.approx(expected, rel=0.04)


@pytest.mark.parametrize("flush", [False, True])
def test_subnormal_numbers_come_back_in_every_process(flush):
    """Training flushes them to zero, which no packed file may do."""
    few = torch.tensor([1e-42, 0.0, -1e-42, 1.0] * 100)
    many = torch.cat([torch.arange(400.0), few])
    torch.set_flush_denormal(flush)
    try:
        state = unpack(pack({"few": few, "many": many}, CARD)[0]).state()
    finally:
        torch.set_flush_denormal(False)
    assert same(state["few"], few)
    assert same(state["many"], many)


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
    """The parts and the manifest of a packed file."""
    parts = split_parts(read_safetensors(data)["packed"].tobytes())
    text, _ = inflate(parts["manifest"], 1 << 24, MANIFEST_DICTIONARY)
    return parts, json.loads(text)


def forged(parts, manifest=None, file_format="secateur-packed-2"):
    """A file with these contents, under a checksum that agrees."""
    if manifest is not None:
        text = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
        parts = {**parts, "manifest": deflate_text(text, MANIFEST_DICTIONARY)}
    container = np.frombuffer(join_parts(parts), np.uint8)
    return write_safetensors({"packed": container}, {"format": file_format})


def planes(*arrays):
    return b"".join(write_planes(array) for array in arrays)


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
    parts, manifest = opened(small)
    found = unpack(forged(parts, manifest)).state()
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
    """Parts and manifest changed at random under a good checksum: a refusal, or some network of
    the shapes named.
    """
    rng = random.Random(seed)
    for _ in range(60):
        parts, manifest = opened(small)
        target = rng.choice([*parts, "entry", "entry", "card"])
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
                    "kept",
                    "unit",
                    "mask_in_contexts",
                ]
            )
            rng.choice(manifest["tensors"])[field] = rng.choice(
                [0, 1, 2, 3, 256, -1, 2**33, None, "raw", [], [3], True, 0.5]
            )
            data = forged(parts, manifest)
        elif target == "card":
            manifest["card"][rng.choice(list(manifest["card"]))] = rng.choice(
                ["", {}, [], -1, None, [[[]]], "x", 1e300]
            )
            data = forged(parts, manifest)
        else:
            part = bytearray(parts[target])
            if rng.random() < 0.5 and part:
                part[rng.randrange(len(part))] ^= 1 << rng.randrange(8)
            else:
                del part[rng.randrange(len(part) + 1) :]
            data = forged({**parts, target: bytes(part)})
        try:
            packed = unpack(data, "upload")
        except UserError:
            continue
        _, named = opened(data)
        assert [list(tensor.shape) for tensor in packed.state().values()] == [
            entry["shape"] for entry in named["tensors"]
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
    parts, manifest = opened(small)
    tensors = [{"name": "w", "kind": kind, "shape": shape, "clusters": 5}]
    assert_refused(forged(parts, {**manifest, "tensors": tensors}))


def test_a_known_network_may_be_as_large_as_it_is_and_others_not():
    empty = {"w": torch.zeros(4200, 4200)}  # 17.6 million weights in next to no bytes
    assert torch.equal(
        unpack(pack(empty, CARD.model_copy(update={"model": "ResNet34"}))[0]).state()["w"],
        empty["w"],
    )
    with pytest.raises(UserError, match="My net is pruned so far"):
        pack(empty, CARD.model_copy(update={"model": "My net"}))


@pytest.mark.parametrize("kind", ["codebook", "affine", "sparse"])
@pytest.mark.parametrize("shape", [[8, 8, 400, 400], [64, 1, 375, 375]])
def test_contexts_for_many_positions_are_refused_before_any_is_read(
    small, kind, shape, monkeypatch
):
    parts, manifest = opened(small)
    in_contexts = {"mask_in_contexts": True} if kind == "sparse" else {"unit": 3}
    tensor = {"name": "w", "kind": kind, "shape": shape, "clusters": 2, "bits": 2}
    manifest["tensors"] = [tensor | in_contexts]
    read: list[object] = []
    monkeypatch.setattr(reader_module, "read_in_contexts", lambda *_: read.append(1))
    arrays = {"codebooks": planes(np.array([1, 2], np.float32)[: 2 if kind == "codebook" else 1])}
    assert_refused(forged({**parts, **arrays}, manifest))
    assert read == []


@pytest.mark.parametrize(
    "shapes", [[[2**25]], [[2**24 - 1]] * 5, [[2**30, 2**30]], [[4096]] * 20_000]
)
def test_too_many_weights_are_refused_before_any_is_read(small, shapes, monkeypatch):
    parts, manifest = opened(small)
    manifest["tensors"] = [
        {"name": str(i), "kind": "codebook", "shape": shape, "clusters": 1}
        for i, shape in enumerate(shapes)
    ]
    monkeypatch.setattr(parts_module, "Reader", lambda arrays: pytest.fail("began to read"))
    assert_refused(forged(parts, manifest))


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
        b'[{"name":"a","kind":"sparse","shape":[9],"kept":16777216}]',
        b'[{"name":"a","kind":"codebook","shape":[9],"clusters":4,"unit":1}]',
        b'[{"name":"a","kind":"affine","shape":[9],"unit":1}]',
        b'[{"name":"a","kind":"codebook","shape":[1,1,4096,4096],"clusters":4,"unit":1}]',
    ],
)
@pytest.mark.parametrize("as_tensors", [False, True])
def test_hostile_manifests(small, manifest, as_tensors):
    parts, good = opened(small)
    if as_tensors:
        card = json.dumps(good["card"]).encode()
        manifest = b'{"card":' + card + b',"tensors":' + manifest + b"}"
    assert_refused(forged(parts, manifest))


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("change", ["shorter", "longer"])
def test_hostile_parts(small, name, change):
    parts, _ = opened(small)
    part = parts[name]
    changed = part[:-4] if change == "shorter" else part + b"\1\1\1\1"
    assert_refused(forged({**parts, name: changed}))


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"other": np.zeros(100, np.uint8)},
        {"packed": np.zeros(20, np.uint8)},
        {"packed": np.zeros(100, np.uint8)},
        {"packed": np.zeros(100, np.float32)},
        {"packed": np.zeros(100, np.uint8), "other": np.zeros(1, np.uint8)},
    ],
)
def test_hostile_containers(tensors):
    assert_refused(write_safetensors(tensors, {"format": "secateur-packed-2"}))
    assert_refused(write_safetensors(tensors, {"format": "secateur-packed-1"}))


def test_streams_that_end_in_a_zero_word(small):
    parts, _ = opened(small)
    assert_refused(forged({**parts, "indices": parts["indices"] + bytes(4)}))


@pytest.mark.parametrize("centroids", [[np.nan, 1.0], [np.inf, np.inf], [2.0, 1.0]])
def test_codebooks_that_are_not_sorted_numbers(small, centroids):
    parts, _ = opened(pack({"w": share_weights(torch.tensor([1.0, 2.0, 2.0] * 40), 2)}, CARD)[0])
    parts["codebooks"] = planes(np.array(centroids, np.float32))
    assert_refused(forged(parts))


@pytest.mark.parametrize("scale", [np.nan, np.inf, 0.0, -1.0])
def test_scales_that_are_not_positive_numbers(scale):
    parts, _ = opened(pack({"w": quantize(torch.randn(40))}, CARD)[0])
    parts["codebooks"] = planes(np.array([scale], np.float32), np.array([100], np.uint8))
    assert_refused(forged(parts))


def test_a_deflated_bomb(small):
    parts, _ = opened(small)
    assert_refused(forged({**parts, "tables": deflate(bytes(1 << 25))}))
    assert_refused(forged({**parts, "manifest": deflate(bytes(1 << 25))}))


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
    parts, manifest = opened(small)
    with pytest.raises(UserError, match="upload was packed by another version"):
        unpack(forged(parts, manifest, "secateur-packed-99"), "upload")


def test_a_file_of_the_first_format_can_still_be_read():
    """The file was written by the version before contexts, from the same tensors."""
    path = Path(__file__).parent / "packed" / "first_format.safetensors"
    packed = load(path)
    state = first_state()
    assert list(packed.tensors) == list(state)
    for name, item in state.items():
        found = packed.tensors[name]
        assert type(found) is type(item)
        decoded = item if isinstance(item, torch.Tensor) else item.decode()
        assert same(packed.state()[name], decoded), name
    assert packed.card == CARD
    assert packed.ledger.total == path.stat().st_size


def first_state():
    """Tensors of all kinds, the same on every machine."""
    numbers = (torch.arange(6 * 5 * 9) * 7919 % 1009 - 500).float().view(6, 5, 3, 3) / 64
    sparse = numbers * (numbers.abs() > 4)
    return {
        "shared": share_weights(numbers, 5, init="density"),
        "pruned": share_weights(sparse, 3, init="density"),
        "rounded": quantize(numbers, 8, axis=0),
        "symmetric": quantize(numbers, 4, symmetric=True),
        "sparse": torch.arange(1200) % 2 * torch.arange(1200) / 7,
        "bias": torch.arange(20) / 7,
        "half": (torch.arange(20) / 7).half(),
        "counter": torch.tensor(3),
    }
