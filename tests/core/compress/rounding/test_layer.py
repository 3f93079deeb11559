"""One layer rounded with compensation, by hand, against explicit outputs, and at its limits."""

import copy

import pytest
import torch
from torch import nn

from core.compress.affine import Affine, quantize
from core.compress.compensation.inputs import measure_inputs
from core.compress.compensation.moments import InputMoments
from core.compress.kmeans import Codebook, share_weights
from core.compress.rounding import columns
from core.compress.rounding import layer as rounding
from core.compress.rounding.layer import RIDGE, round_layer


def by_hand():
    """A layer of the weights 0.4 and 0.4, whose moments with the ridge are 2, 1, 1 and 2."""
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.data = torch.tensor([[0.4, 0.4]])
    square = 2 / (1 + RIDGE)
    own = torch.tensor([[[square, 1.0], [1.0, square]]], dtype=torch.float64)
    output_square = 0.4**2 * (2 * square + 2)
    crossed = layer.weight.detach().double() @ own
    return layer, InputMoments(own, crossed, output_square, samples=10)


def test_a_grid_by_hand():
    """The first weight is rounded down, and the second one up to make up for it."""
    layer, inputs = by_hand()
    nearest = Affine(
        torch.zeros(1, 2, dtype=torch.uint8), torch.tensor(1.0), torch.tensor(0).int(), bits=2
    )
    rounded = round_layer(layer, nearest, inputs)
    assert isinstance(rounded.item, Affine)
    assert rounded.item.values.tolist() == [[0, 1]]
    assert rounded.item.values.dtype == torch.uint8
    assert nearest.values.tolist() == [[0, 0]]
    assert rounded.nearest_error == pytest.approx(1.0)
    square = 2 / (1 + RIDGE)
    error = (0.4**2 + 0.6**2) * square - 2 * 0.4 * 0.6
    assert rounded.error == pytest.approx(error / inputs.output_square)


def test_centroids_by_hand():
    """Each weight gets a centroid of its own, which is then fitted: nothing is lost."""
    layer, inputs = by_hand()
    nearest = Codebook(torch.tensor([0.0, 1.0]), torch.zeros(1, 2, dtype=torch.uint8))
    rounded = round_layer(layer, nearest, inputs)
    torch.testing.assert_close(rounded.item.decode(), layer.weight.detach())
    assert rounded.error == pytest.approx(0, abs=1e-9)


def case(kind="linear", seed=0, images=64, density=1.0, spread=0.2):
    """A layer, its inputs in the quantized and the float network, and their moments.

    Returns the layer and the moments, and the inputs x and r.
    """
    torch.manual_seed(seed)
    if kind == "linear":
        layer: nn.Linear | nn.Conv2d = nn.Linear(12, 7)
        r = torch.randn(images, 12) @ torch.randn(12, 12)
    else:
        groups = {"conv": 1, "groups": 2, "depthwise": 4}[kind]
        layer = nn.Conv2d(4, 8, 3, padding=1, groups=groups)
        r = torch.randn(images, 4, 5, 5).cumsum(3)
    x = r + spread * torch.randn_like(r)
    layer.weight.data *= torch.rand_like(layer.weight) < density
    return layer, moments_of(layer, x, r), x, r


def moments_of(layer, x, r):
    """The inputs come out of an identity whose weight differs in the two networks."""

    class After(nn.Module):
        def __init__(self, inputs):
            super().__init__()
            self.inputs = inputs
            self.layer = layer

        def forward(self, images):
            return self.layer(self.inputs)

    first = After(x)
    second = copy.deepcopy(first)
    second.inputs = r
    return measure_inputs(first, second, "layer.weight", 1, [x])


def outputs_of(layer, weight, inputs):
    double = copy.deepcopy(layer).double()
    double.weight.data = weight.double()
    double.bias = None
    return double(inputs.double()).detach()


def error_of(layer, weight, x, r):
    """The explicit error of a rounded weight's outputs, as a share of the float ones."""
    target = outputs_of(layer, layer.weight.detach(), r)
    difference = outputs_of(layer, weight, x) - target
    return float(difference.square().sum() / target.square().sum())


KINDS = ["linear", "conv", "groups", "depthwise"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("density", [1.0, 0.4])
@pytest.mark.parametrize("method", ["kmeans", "per channel", "per tensor", "symmetric"])
def test_errors_are_those_of_the_outputs_and_fall(kind, density, method):
    layer, inputs, x, r = case(kind, density=density)
    before = layer.weight.detach().clone()
    nearest = nearest_by(method, before)
    rounded = round_layer(layer, nearest, inputs)
    assert rounded.nearest_error == pytest.approx(
        error_of(layer, nearest.decode(), x, r), rel=1e-3, abs=1e-5
    )
    assert rounded.error == pytest.approx(
        error_of(layer, rounded.item.decode(), x, r), rel=1e-3, abs=1e-5
    )
    assert rounded.error < rounded.nearest_error
    assert torch.equal(layer.weight, before)
    assert_valid(rounded.item, nearest)
    pruned = rounded.item.decode()[before == 0]
    assert not bool(pruned.any())
    assert not bool(pruned.signbit().any())


def nearest_by(method, weight):
    if method == "kmeans":
        return share_weights(weight, 3)
    return quantize(weight, 3, None if method == "per tensor" else 0, method == "symmetric")


def assert_valid(item, nearest):
    """The item has the form of the nearest one, and only its levels."""
    assert type(item) is type(nearest)
    assert bool(item.decode().isfinite().all())
    if isinstance(item, Affine):
        assert torch.equal(item.scale, nearest.scale)
        assert torch.equal(item.zero_point, nearest.zero_point)
        assert (item.bits, item.axis) == (nearest.bits, nearest.axis)
        assert (item.values.dtype, item.values.shape) == (
            nearest.values.dtype,
            nearest.values.shape,
        )
        return
    count = len(item.centroids)
    assert count <= len(nearest.centroids)
    assert torch.equal(item.centroids, item.centroids.unique())
    assert (item.centroids.dtype, item.indices.dtype) == (torch.float32, torch.uint8)
    assert item.indices.shape == nearest.indices.shape
    assert bool((item.counts() > 0).all())
    assert (item.mask is None) == (nearest.mask is None)
    if item.mask is not None:
        assert torch.equal(item.mask, nearest.mask)
        assert not bool(item.indices[~item.mask].any())


@pytest.mark.parametrize("density", [1.0, 0.4])
def test_centroids_are_fitted_by_least_squares(density):
    """Against a solver on the outputs themselves, with one column for each centroid."""
    layer, inputs, x, r = case("conv", density=density)
    nearest = share_weights(layer.weight.detach(), 3)
    weight = layer.weight.detach().double().reshape(1, 8, -1)
    error = inputs.objective(weight, RIDGE, rounding._kept_weights(weight, nearest))
    indices = nearest.indices.long().reshape(1, 8, -1)
    fitted = rounding._fit_centroids(error, indices, nearest.centroids.double())
    kept = torch.ones_like(nearest.indices, dtype=torch.bool)
    if nearest.mask is not None:
        kept = nearest.mask
    members = [((nearest.indices == index) & kept).double() for index in range(3)]
    designs = [outputs_of(layer, member, x).flatten() for member in members]
    target = outputs_of(layer, layer.weight.detach(), r).flatten()
    # The ridge, as weights that should stay where they are.
    samples = inputs.samples
    ridge = RIDGE * float(inputs.own.diagonal(0, 1, 2).mean()) * samples
    design = torch.stack(
        [
            torch.cat([output, ridge**0.5 * member.flatten()])
            for output, member in zip(designs, members, strict=True)
        ],
        1,
    )
    target = torch.cat([target, ridge**0.5 * layer.weight.detach().double().flatten()])
    expected = torch.linalg.lstsq(design, target[:, None]).solution[:, 0]
    torch.testing.assert_close(fitted, expected.sort().values, rtol=1e-4, atol=1e-6)


def test_a_centroid_without_weights_stays_while_the_others_are_fitted():
    layer, inputs, _, _ = case()
    nearest = share_weights(layer.weight.detach(), 3)
    weight = layer.weight.detach().double()[None]
    error = inputs.objective(weight, RIDGE, rounding._kept_weights(weight, nearest))
    centroids = torch.tensor([-0.5, 0.125, 0.5], dtype=torch.float64)
    indices = 2 * (weight > 0).long()
    fitted = rounding._fit_centroids(error, indices, centroids)
    assert bool(torch.isclose(fitted, centroids[1]).any())
    assert not torch.isclose(fitted, centroids[0]).any()


def test_centroids_stay_where_fitting_takes_too_long(monkeypatch):
    monkeypatch.setattr(rounding, "_FIT_WORK", 0)
    layer, inputs, _, _ = case()
    nearest = share_weights(layer.weight.detach(), 3)
    item = round_layer(layer, nearest, inputs).item
    assert isinstance(item, Codebook)
    assert torch.equal(item.centroids, nearest.centroids)


def test_zeros_that_are_clustered_may_move():
    layer, inputs, _, _ = case(density=0.4)
    nearest = share_weights(layer.weight.detach(), 3, keep_zeros=False)
    item = round_layer(layer, nearest, inputs).item
    assert isinstance(item, Codebook)
    assert item.mask is None


# -- limits --


def spoil(inputs, how):
    if how == "dead":
        inputs[:, 1] = 0
    if how == "all dead":
        inputs.zero_()
    if how == "constant":
        inputs.fill_(3.0)
    if how == "equal":
        inputs[:] = inputs[:, :1].clone()
    if how == "tiny":
        inputs *= 1e-30
    if how == "large":
        inputs *= 1e12


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["kmeans", "per channel"])
@pytest.mark.parametrize("density", [1.0, 0.4])
@pytest.mark.parametrize("how", ["dead", "all dead", "constant", "equal", "tiny", "large", "few"])
def test_inputs_that_say_little(kind, method, density, how):
    layer, _, x, r = case(kind, density=density, images=2 if how == "few" else 16)
    spoil(x, how)
    spoil(r, how)
    nearest = nearest_by(method, layer.weight.detach())
    rounded = round_layer(layer, nearest, moments_of(layer, x, r))
    assert_valid(rounded.item, nearest)
    assert 0 <= rounded.error < 10
    assert 0 <= rounded.nearest_error < 10


@pytest.mark.parametrize("method", ["kmeans", "per channel"])
def test_inputs_that_differ_from_dead_ones(method):
    """The quantized network has no inputs where the float one has some, and the other way round."""
    layer, _, x, _ = case()
    nearest = nearest_by(method, layer.weight.detach())
    for own, reference in ((torch.zeros_like(x), x), (x, torch.zeros_like(x))):
        rounded = round_layer(layer, nearest, moments_of(layer, own, reference))
        assert_valid(rounded.item, nearest)
        assert 0 <= rounded.error < 10


def test_weights_of_dead_inputs_get_the_nearest_level():
    layer, _, x, r = case()
    for inputs in (x, r):
        inputs[:, 4] = 0
    nearest = quantize(layer.weight.detach(), 3, 0)
    item = round_layer(layer, nearest, moments_of(layer, x, r)).item
    assert isinstance(item, Affine)
    assert torch.equal(item.values[:, 4], nearest.values[:, 4])
    assert not torch.equal(item.values, nearest.values)


@pytest.mark.parametrize("method", ["kmeans", "per channel", "per tensor", "symmetric"])
@pytest.mark.parametrize("value", [0.0, 0.25, -3.0])
@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_of_one_value(method, value, kind):
    layer, _, x, r = case(kind, spread=0.0)
    layer.weight.data.fill_(value)
    nearest = nearest_by(method, layer.weight.detach())
    rounded = round_layer(layer, nearest, moments_of(layer, x, r))
    assert_valid(rounded.item, nearest)
    torch.testing.assert_close(rounded.item.decode(), layer.weight.detach())


@pytest.mark.parametrize("method", ["kmeans", "per channel", "per tensor", "symmetric"])
@pytest.mark.parametrize("layer", [nn.Linear(5, 1), nn.Linear(1, 1), nn.Conv2d(2, 1, 3)], ids=str)
def test_a_single_output_channel(method, layer):
    x = (
        torch.randn(4, 2, 6, 6)
        if isinstance(layer, nn.Conv2d)
        else torch.randn(4, layer.in_features)
    )
    nearest = nearest_by(method, layer.weight.detach())
    rounded = round_layer(layer, nearest, moments_of(layer, x, x))
    assert_valid(rounded.item, nearest)


@pytest.mark.parametrize("method", ["kmeans", "per channel"])
@pytest.mark.parametrize("most_row_work", [0, 1e12])
def test_a_channel_whose_weights_are_all_pruned(method, most_row_work, monkeypatch):
    monkeypatch.setattr(columns, "_MOST_ROW_WORK", most_row_work)
    layer, _, x, r = case("conv")
    layer.weight.data[2:4] = 0
    nearest = nearest_by(method, layer.weight.detach())
    item = round_layer(layer, nearest, moments_of(layer, x, r)).item
    assert_valid(item, nearest)
    assert not bool(item.decode()[2:4].any())
