"""One layer pruned with compensation: explicit outputs, exact counts, and its limits."""

import pytest
import torch
from torch import nn

from core.compress.compensation.inputs import measure_inputs
from core.compress.sparse.layer import prune_layer, without_smallest

LAYERS: dict[str, nn.Conv2d | nn.Linear] = {
    "linear": nn.Linear(12, 6),
    "convolution": nn.Conv2d(4, 6, 3, padding=1),
    "strided and dilated": nn.Conv2d(4, 6, (3, 2), stride=2, dilation=(1, 2), bias=False),
    "grouped": nn.Conv2d(4, 6, 3, groups=2),
    "depthwise": nn.Conv2d(4, 8, 3, groups=4, padding=1),
}
KINDS = list(LAYERS)


def case(kind, images=24, drift=0.0):
    """Return a layer, its inputs in the float network, and those in the network pruned so far."""
    generator = torch.Generator().manual_seed(0)
    layer = LAYERS[kind]
    torch.manual_seed(0)
    layer.reset_parameters()
    shape = (images, 12) if kind == "linear" else (images, 4, 7, 8)
    x = torch.randn(shape, generator=generator)
    x = torch.relu(x + 0.7 * x.roll(1, 1) + 0.3)
    return layer, x, x + drift * torch.randn(shape, generator=generator)


class Fed(nn.Module):
    """A network that feeds its layer with the images, shifted."""

    def __init__(self, layer, shift):
        super().__init__()
        self.layer = layer
        self.shift = shift

    def forward(self, x):
        return self.layer(x + self.shift)


def moments_of(layer, x, own):
    """x: inputs in the float network. own: those in the network pruned so far."""
    return measure_inputs(Fed(layer, own - x), Fed(layer, 0.0), "layer.weight", 1, [x])


@torch.no_grad()
def output_error(layer, weight, x, own):
    expected = layer(x)
    bias = torch.zeros(len(weight)) if layer.bias is None else layer.bias
    shape = (-1,) if expected.dim() == 2 else (-1, 1, 1)
    kept = layer.weight.data.clone()
    layer.weight.data.copy_(weight)
    error = (layer(own) - expected).square().sum()
    layer.weight.data.copy_(kept)
    return float(error / (expected - bias.view(shape)).square().sum())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("density", [0.2, 0.5, 0.9])
def test_less_output_error_than_without_the_smallest_weights(kind, density):
    layer, x, own = case(kind, drift=0.1)
    count = round(density * layer.weight.numel())
    pruned = prune_layer(layer.weight, count, moments_of(layer, x, own))
    assert int(pruned.mask.sum()) == count
    assert torch.equal(pruned.weight != 0, pruned.mask)
    assert pruned.weight.shape == layer.weight.shape
    assert pruned.weight.dtype == layer.weight.dtype
    assert not pruned.weight.requires_grad
    smallest_cut, mask = without_smallest(layer.weight, count)
    assert int(mask.sum()) == count
    assert pruned.error == pytest.approx(output_error(layer, pruned.weight, x, own), rel=1e-3)
    assert pruned.magnitude_error == pytest.approx(
        output_error(layer, smallest_cut, x, own), rel=1e-3
    )
    assert pruned.error < pruned.magnitude_error


def test_the_layer_is_not_changed():
    layer, x, own = case("convolution")
    before = layer.weight.detach().clone()
    prune_layer(layer.weight, 40, moments_of(layer, x, own))
    assert torch.equal(layer.weight, before)
    assert layer.weight.requires_grad


@pytest.mark.parametrize("kind", KINDS)
def test_all_weights_and_no_weight(kind):
    layer, x, own = case(kind)
    inputs = moments_of(layer, x, own)
    everything = prune_layer(layer.weight, layer.weight.numel(), inputs)
    assert bool(everything.mask.all())
    torch.testing.assert_close(everything.weight, layer.weight.detach(), rtol=1e-3, atol=1e-5)
    nothing = prune_layer(layer.weight, 0, inputs)
    assert not bool(nothing.mask.any())
    assert torch.equal(nothing.weight, torch.zeros_like(layer.weight))


@pytest.mark.parametrize("kind", KINDS)
def test_weights_that_are_zero_already_stay_zero(kind):
    layer, x, own = case(kind)
    inputs = moments_of(layer, x, own)
    sparse, mask = without_smallest(layer.weight, layer.weight.numel() // 2)
    fewer = prune_layer(sparse, int(mask.sum()) - 5, inputs)
    assert not bool((fewer.mask & ~mask).any())
    equal = prune_layer(sparse, int(mask.sum()), inputs)
    assert torch.equal(equal.mask, mask)
    more = prune_layer(sparse, int(mask.sum()) + 5, inputs)
    assert bool(more.mask[mask].all())
    assert int(more.mask.sum()) == int(mask.sum()) + 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["dead", "all dead", "constant", "equal", "tiny", "large", "few"])
def test_inputs_that_say_little(kind, how):
    layer, x, own = case(kind, images=1 if how == "few" else 24)
    changes = {
        "dead": lambda inputs: inputs[:, 1].zero_(),
        "all dead": lambda inputs: inputs.zero_(),
        "constant": lambda inputs: inputs.fill_(0.5),
        "equal": lambda inputs: inputs.copy_(inputs[:, :1].clone().expand_as(inputs)),
        "tiny": lambda inputs: inputs.mul_(1e-18),
        "large": lambda inputs: inputs.mul_(1e9),
        "few": lambda inputs: inputs,
    }
    for inputs in (x, own):
        changes[how](inputs)
    count = layer.weight.numel() // 3
    pruned = prune_layer(layer.weight, count, moments_of(layer, x, x))
    assert int(pruned.mask.sum()) == count
    assert bool(pruned.weight.isfinite().all())
    assert not bool(pruned.weight[~pruned.mask].any())
    assert 0 <= pruned.error <= pruned.magnitude_error + 1e-6


def test_weights_of_dead_inputs_go_first():
    layer, x, _ = case("linear")
    x[:, 4] = 0
    inputs = moments_of(layer, x, x)
    count = layer.weight.numel() - 6
    assert not bool(prune_layer(layer.weight, count, inputs).mask[:, 4].any())
    sparse, mask = without_smallest(layer.weight, count)
    assert bool(mask[:, 4].any())
    assert torch.equal(prune_layer(sparse, count, inputs).mask, mask)


def test_equal_weights_keep_the_earlier_ones():
    weight, mask = without_smallest(torch.tensor([[1.0, -1.0, 2.0, 1.0]]), 2)
    assert mask.tolist() == [[True, False, True, False]]
    assert weight.tolist() == [[1.0, 0.0, 2.0, 0.0]]
