"""Distributions in a few marks: every count against a count by hand."""

import math

import numpy as np
import pytest
import torch

from core.compress import affine, codec, kmeans
from core.compress.distortion import snr
from core.errors import UserError
from core.inspect import weights
from core.inspect.distributions import Ordered, difference, drawn, frequencies, marks, ordered, summary
from core.inspect.levels import own_levels, packed_levels
from core.models import build, saved
from core.models.parameters import prunable

RANDOM = np.random.default_rng(0)
CASES = {
    "random": RANDOM.standard_normal(5000).astype(np.float32),
    "constant": np.full(300, 0.25, np.float32),
    "all zero": np.zeros((4, 5), np.float32),
    "one weight": np.array([-3.0], np.float32),
    "pruned": RANDOM.standard_normal(4000).astype(np.float32) * (RANDOM.random(4000) < 0.1),
    "shared": RANDOM.choice(np.array([-1.5, 0.0, 0.1, 2.0], np.float32), 3000),
    "negative zero": np.array([-0.0, 0.0, 1.0, -1.0] * 50, np.float32),
    "huge range": np.concatenate([RANDOM.standard_normal(2000) * 1e-30, [3.4e38, -3.4e38]]).astype(np.float32),
    "close by": (1 + np.arange(3000) * 2.0**-23).astype(np.float32),
    "on the edges": RANDOM.integers(-1000, 1001, 6000).astype(np.float32) / 1000,
}


def counted(values, found):
    """How many of the values each mark should have, found one mark at a time."""
    flat, last = values.astype(np.float64).ravel(), found.high[-1]
    return [int((flat == low).sum() if low == high else ((flat >= low) & ((flat < high) | (high == last)
                                                                         & (flat == high))).sum())
            for low, high in zip(found.low, found.high, strict=True)]


@pytest.mark.parametrize("most", [1, 7, 640])
@pytest.mark.parametrize("name", CASES)
def test_every_mark_counts_exactly(name, most):
    values = CASES[name]
    found = marks(ordered(values, name), (float(values.min()), float(values.max())), most)
    assert found.counts.sum() == values.size
    assert found.counts.min() > 0
    assert len(found.counts) <= max(most, 1)
    assert found.counts.tolist() == counted(values, found)
    assert (np.diff(found.low) > 0).all()


@pytest.mark.parametrize("name", CASES)
def test_a_few_distinct_values_are_exact(name):
    values, counts = np.unique(CASES[name], return_counts=True)
    found = marks(ordered(CASES[name], name), (0, 0), most=len(values))
    assert found.exact
    assert found.low.tolist() == values.astype(np.float64).tolist()
    assert found.counts.tolist() == counts.tolist()


@pytest.mark.parametrize("name", CASES)
def test_the_summary_agrees_with_numpy(name):
    values = CASES[name]
    found = summary(ordered(values, name))
    assert (found.numbers, found.zeros) == (values.size, int((values == 0).sum()))
    assert found.unique == len(np.unique(values))
    assert (found.low, found.high) == (values.min(), values.max())
    assert 0 <= found.bits <= 32


def test_bits_are_those_of_a_codebook_a_mask_or_plain_floats():
    four = np.repeat(np.array([1, 2, 3, 4], np.float32), 256)
    assert summary(ordered(four, "")).bits == pytest.approx(2 + 4 * 32 / 1024)  # two bits an index, four floats
    sparse = np.zeros(4096, np.float32)
    sparse[::4] = RANDOM.standard_normal(1024)
    mask = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    assert summary(ordered(sparse, "")).bits == pytest.approx(mask + 32 / 4)
    assert summary(ordered(CASES["random"], "")).bits == 32
    assert summary(ordered(CASES["all zero"], "")).bits == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_by_name(bad):
    values = CASES["random"].copy()
    values[[3, 77]] = bad
    with pytest.raises(UserError, match=r"conv1\.weight holds 2 values"):
        ordered(values, "conv1.weight")
    with pytest.raises(UserError, match="no values"):
        ordered(np.empty(0, np.float32), "conv1.weight")


def test_two_distributions_share_their_bins_and_keep_zeros_apart():
    one, other = (ordered(CASES[name], name) for name in ("random", "pruned"))
    first, second = drawn([one, other], most=100, bins=50)
    assert not first.histogram.exact
    low, high = min(one.numbers[0], other.numbers[0]), max(one.numbers[-1], other.numbers[-1])
    edges = np.linspace(float(low), float(high), 51)
    for found in (first, second):
        assert set(found.histogram.low) <= set(edges[:-1])
        assert found.histogram.counts.sum() == found.summary.numbers - found.summary.zeros
        assert found.scatter.counts.sum() == found.summary.numbers - found.summary.zeros
    assert second.summary.zeros == (CASES["pruned"] == 0).sum()


def test_repeating_values_are_levels_and_others_are_binned():
    shared, few = (drawn([ordered(values, "")], most=100, bins=10)[0]
                   for values in (CASES["shared"], CASES["random"][:60]))
    assert shared.histogram.low.tolist() == [-1.5, np.float32(0.1), 2.0]  # and 0 apart
    assert few.scatter.exact
    assert not few.histogram.exact
    assert len(few.histogram.counts) <= 10


@pytest.mark.parametrize("name", ["all zero", "constant", "one weight"])
def test_degenerate_distributions_can_be_drawn(name):
    found, = drawn([ordered(CASES[name], name)])
    assert found.histogram.exact
    assert found.histogram.counts.sum() == np.count_nonzero(CASES[name])


def test_differences_are_exact_and_do_not_overflow():
    one, other = CASES["random"], CASES["random"][::-1].copy()
    assert difference(one, other).numbers.tolist() == np.sort(other - one).tolist()
    far = difference(np.array([-3e38, 1.0], np.float32), np.array([3e38, 1.0], np.float32)).numbers
    assert far.tolist() == [0.0, 2 * float(np.float32(3e38))]
    assert marks(Ordered(far), (0.0, far[-1]), most=1).counts.tolist() == [2]


def test_frequencies_take_values_in_any_order():
    points, counts, how = frequencies(np.array([[2, 1], [1, 5]], np.float32), (1, 5))
    assert (points.tolist(), counts.tolist(), how) == ([1, 2, 5], [2, 1, 1], "3 different")


# -- saved models ---------------------------------------------------------------------------------------------------

def facts(model="LeNet5"):
    return saved.Facts(model=model, dataset="Digits", classes=tuple("0123456789"), mean=(0.5,) * 3, std=(0.25,) * 3,
                       side=32)


@pytest.fixture
def lenet():
    torch.manual_seed(0)
    return build("LeNet5", 10)


@pytest.fixture
def write(tmp_path):
    """A function that saves a state dict of LeNet5 as a file."""
    def write(name, state, model="LeNet5"):
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(saved.pack(state, facts(model)))
        return path
    return write


@pytest.mark.parametrize("name", ["LeNet5", "ResNet20", "VGG16"])
def test_layers_are_the_prunable_weights_in_the_networks_order(name, write):
    network = build(name, 10)
    path = write(name, network.state_dict(), name)
    expected = prunable(network)
    assert list(weights.layers(path).items()) == [(key, tuple(weight.shape)) for key, weight in expected.items()]
    for values, weight in zip(weights.read(path, list(expected)), expected.values(), strict=True):
        assert values.tolist() == weight.detach().flatten().tolist()


def test_the_table_has_the_whole_network_first(lenet, write):
    whole, *each = weights.table(write("a", lenet.state_dict()))
    assert whole.name == ""
    assert whole.summary.numbers == sum(layer.summary.numbers for layer in each) == 61_770
    assert [layer.name for layer in each] == list(prunable(lenet))


def test_ratios_are_those_of_the_quantizer(lenet, write):
    books = kmeans.share_model(lenet, 5)
    state = lenet.state_dict() | {name: book.decode() for name, book in books.items()}
    found = weights.ratios(write("a", lenet.state_dict()), write("b", state))
    for name, weight in prunable(lenet).items():
        assert found[name] == pytest.approx(snr(weight.detach(), state[name]))
    every = [torch.cat([model[name].flatten() for name in books]) for model in (lenet.state_dict(), state)]
    assert found[""] == pytest.approx(snr(*every))
    assert weights.ratios(*[write("a", state)] * 2)[""] == math.inf


def test_two_models_are_compared_layer_by_layer_and_as_a_whole(lenet, write):
    books = kmeans.share_model(lenet, 4)
    state = lenet.state_dict() | {name: book.decode() for name, book in books.items()}
    paths = write("a", lenet.state_dict()), write("b", state)
    for layer in ("", "features.3.weight"):
        found = weights.compare(*paths, layer, 640, 100, 50)
        names = [layer] if layer else list(books)
        one, other = (np.concatenate([model[name].numpy().ravel() for name in names])
                      for model in (lenet.state_dict(), state))
        first, second = found.models
        assert first.summary.unique == len(np.unique(one))
        assert second.histogram.low.tolist() == [float(value) for value in np.unique(other) if value]
        assert found.error.summary.numbers == one.size
        assert (found.error.summary.low, found.error.summary.high) == ((other - one).min(), (other - one).max())


def test_what_cannot_be_subtracted_says_why(lenet, write):
    paths = write("a", lenet.state_dict()), write("b", build("ResNet20", 10).state_dict(), "ResNet20")
    whole = weights.compare(*paths, "", 640, 100, 50)
    assert whole.error is None
    assert "different layers" in whole.why
    assert all(whole.models)
    alone = weights.compare(*paths, "conv1.weight", 640, 100, 50)
    assert alone.models[0] is None
    assert alone.models[1].summary.numbers == 432
    assert "Only one" in alone.why
    with pytest.raises(UserError, match="no layer 'conv9'"):
        weights.compare(*paths, "conv9", 640, 100, 50)
    assert weights.compare(paths[0], None, "", 640, 100, 50).why == "There is only one model."
    assert weights.ratios(*paths) == {}


def test_a_layer_that_diverged_is_named_and_the_others_are_not_harmed(lenet, write):
    state = lenet.state_dict()
    state["features.3.weight"][0, 0, 0, 0] = math.nan
    path = write("a", state)
    for layer in ("", "features.3.weight"):
        with pytest.raises(UserError, match=r"features\.3\.weight holds 1 values"):
            weights.compare(path, None, layer, 640, 100, 50)
    assert weights.compare(path, None, "features.0.weight", 640, 100, 50).models[0]
    assert [layer.name for layer in weights.table(path) if layer.summary is None] == ["", "features.3.weight"]


def test_a_damaged_file_is_a_sentence(lenet, write):
    path = write("a", lenet.state_dict())
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UserError, match="damaged"):
        weights.compare(path, None, "", 640, 100, 50)


# -- levels ---------------------------------------------------------------------------------------------------------

@pytest.fixture
def packed(tmp_path, lenet):
    """A function that packs LeNet5 with some weights quantized, and returns the levels in the file."""
    def packed(items):
        state = lenet.state_dict() | items
        codec.save(tmp_path / "packed.safetensors", state, codec.Card(
            network="LeNet5", classes=tuple("0123456789"), mean=(0.5,) * 3, std=(0.25,) * 3, side=32))
        return packed_levels(tmp_path / "packed.safetensors")
    return packed


def check_levels(levels, item):
    values, counts = np.unique(item.decode().numpy(), return_counts=True)
    used = {value: count for value, count in zip(levels.values, levels.counts, strict=True) if count}
    if levels.pinned:
        used[0.0] = used.get(0.0, 0) + levels.pinned
    assert used == dict(zip(values.astype(np.float64), counts, strict=True))


def test_levels_of_a_codebook(lenet, packed):
    lenet.features[0].weight.data[0] = 0
    books = kmeans.share_model(lenet, 5)
    found = packed(books)
    for name, book in books.items():
        assert found[name].kind == "codebook"
        assert len(found[name].values) == 5
        check_levels(found[name], book)
    assert found["features.0.weight"].pinned == 75


@pytest.mark.parametrize("symmetric", [False, True])
def test_levels_of_a_grid(lenet, packed, symmetric):
    grids = affine.quantize_model(lenet, 4, None, symmetric)
    for name, levels in packed(grids).items():
        if name in grids:
            assert levels.kind == "grid"
            assert len(levels.values) == 16 - symmetric
            check_levels(levels, grids[name])


def test_levels_of_a_grid_a_channel_are_its_integers(lenet, packed):
    grids = affine.quantize_model(lenet, 3, 0)
    levels = packed(grids)["classifier.4.weight"]
    assert levels.kind == "channels"
    assert levels.values.tolist() == list(range(8))
    assert levels.counts.tolist() == np.bincount(grids["classifier.4.weight"].values.flatten(), minlength=8).tolist()


def test_levels_of_a_float_layer_with_few_values(lenet, write):
    lenet.classifier[4].weight.data.round_(decimals=1)
    path = write("a", lenet.state_dict())
    levels = own_levels(path, "classifier.4.weight")
    values, counts = np.unique(lenet.classifier[4].weight.detach().abs().numpy(), return_counts=True)
    assert levels.kind == "values"
    assert levels.counts.sum() + levels.pinned == counts.sum() == 840
    assert set(np.abs(levels.values)) <= set(values.astype(np.float64))
    assert own_levels(path, "classifier.0.weight") is None
