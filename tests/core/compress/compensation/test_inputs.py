"""Inputs of layers, against the gradients of their outputs, which are the inputs by definition."""

import copy

import pytest
import torch
from torch import nn

from core.compress.compensation import inputs as inputs_module
from core.compress.compensation import moments as moments_module
from core.compress.compensation.inputs import layers_in_order, measure_inputs

CONVOLUTIONS = [
    {"kernel_size": 3},
    {"kernel_size": 1},
    {"kernel_size": 1, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": (2, 3), "stride": (1, 2), "padding": (0, 2), "dilation": (2, 1)},
    {"kernel_size": (2, 3), "padding": "same", "dilation": 2},
    {"kernel_size": 2, "padding": "valid"},
    {"kernel_size": 3, "padding": 2, "padding_mode": "reflect"},
    {"kernel_size": 3, "padding": "same", "padding_mode": "circular"},
    {"kernel_size": 3, "padding": 1, "padding_mode": "replicate", "stride": 2},
    {"kernel_size": 3, "padding": 1, "groups": 2},
    {"kernel_size": 1, "groups": 2},
    {"kernel_size": 3, "padding": 1, "groups": 4, "stride": 2},
]


class Called(nn.Module):
    """Calls layers as a list of steps says."""

    def __init__(self, **layers):
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.steps = list(layers)

    def forward(self, x):
        for name in self.steps:
            x = self.get_submodule(name)(x)
        return x


def two_models(layer, first, seed=0):
    """The layer after another one, whose weights differ in the two models."""
    torch.manual_seed(seed)
    model = Called(first=first, relu=nn.ReLU(), layer=layer).eval()
    reference = copy.deepcopy(model)
    with torch.no_grad():
        weight = model.get_parameter("first.weight")
        weight.add_(0.1 * torch.randn_like(weight))
    return model, reference


def inputs_before(model, images):
    with torch.no_grad():
        return torch.relu(model.first(images))


def gradients(layer, inputs, groups):
    """The input vectors (G, n, samples): the gradients of each output by its row of the weight."""
    weight = layer.weight.detach().double().requires_grad_()
    double = copy.deepcopy(layer).double()
    outputs = torch.func.functional_call(double, {"weight": weight}, inputs.double())
    if isinstance(layer, nn.Conv2d):
        outputs = outputs.movedim(1, -1)
    outputs = outputs.flatten(0, -2)  # samples, channels
    rows = weight.shape[0] // groups
    vectors = []
    for output in outputs:
        by_group = []
        for group in range(groups):
            (gradient,) = torch.autograd.grad(output[group * rows], weight, retain_graph=True)
            by_group.append(gradient[group * rows].flatten())
        vectors.append(torch.stack(by_group))
    return torch.stack(vectors, 2)


def assert_moments(moments, layer, groups, x, r):
    """x, r: inputs of all calls in both models."""
    own = torch.cat([gradients(layer, inputs, groups) for inputs in x], 2)
    references = torch.cat([gradients(layer, inputs, groups) for inputs in r], 2)
    samples = own.shape[2]
    assert moments.samples == samples
    assert moments.own.dtype == moments.crossed.dtype == torch.float64
    torch.testing.assert_close(moments.own, own @ own.mT / samples, rtol=1e-4, atol=1e-5)
    weight = layer.weight.detach().double().reshape(groups, -1, own.shape[1])
    crossed = weight @ references @ own.mT / samples
    torch.testing.assert_close(moments.crossed, crossed, rtol=1e-4, atol=1e-5)
    square = 0.0
    for inputs in r:
        outputs = layer(inputs).detach()
        if layer.bias is not None:
            outputs = outputs - layer.bias.detach().view(-1, *[1] * (outputs.ndim - 2))
        square += float(outputs.double().square().sum())
    assert moments.output_square == pytest.approx(square / samples, rel=1e-4)


@pytest.mark.parametrize("settings", CONVOLUTIONS, ids=str)
def test_a_convolution(settings):
    layer = nn.Conv2d(4, 8, **settings)
    model, reference = two_models(layer, nn.Conv2d(3, 4, 1))
    batches = list(torch.randn(5, 3, 6, 5, generator=torch.Generator().manual_seed(1)).split(3))
    moments = measure_inputs(model, reference, "layer.weight", 1, batches)
    x = [inputs_before(model, images) for images in batches]
    r = [inputs_before(reference, images) for images in batches]
    assert_moments(moments, layer, layer.groups, x, r)


@pytest.mark.parametrize("groups", [1, 2])
def test_products_in_panels_and_patches_of_a_few_images(groups, monkeypatch):
    """They are those of whole products: three panels of 18 columns, and one image at a time."""
    monkeypatch.setattr(moments_module, "_PANEL", 7)
    monkeypatch.setattr(inputs_module, "_PATCH_VALUES", 1)
    layer = nn.Conv2d(2 * groups, 4, 3, padding=1, groups=groups)
    model, reference = two_models(layer, nn.Conv2d(3, 2 * groups, 1))
    batches = list(torch.randn(5, 3, 6, 5, generator=torch.Generator().manual_seed(1)).split(3))
    moments = measure_inputs(model, reference, "layer.weight", 1, batches)
    x = [inputs_before(model, images) for images in batches]
    r = [inputs_before(reference, images) for images in batches]
    assert_moments(moments, layer, groups, x, r)
    torch.testing.assert_close(moments.own, moments.own.mT)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 2, 3)])
@pytest.mark.parametrize("has_bias", [False, True])
def test_a_linear_layer_of_any_inputs(shape, has_bias):
    layer = nn.Linear(4, 5, bias=has_bias)
    model, reference = two_models(layer, nn.Linear(3, 4))
    batches = list(torch.randn(5, *shape, generator=torch.Generator().manual_seed(1)).split(3))
    moments = measure_inputs(model, reference, "layer.weight", 1, batches)
    assert moments.own.shape == (1, 4, 4)
    x = [inputs_before(model, images).flatten(0, -2) for images in batches]
    r = [inputs_before(reference, images).flatten(0, -2) for images in batches]
    layer.register_parameter("bias", None)
    assert_moments(moments, layer, 1, x, r)


def test_a_linear_layer_by_hand():
    model = Called(layer=nn.Linear(2, 1, bias=False)).eval()
    model.get_parameter("layer.weight").data = torch.tensor([[1.0, 2.0]])
    images = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    moments = measure_inputs(model, copy.deepcopy(model), "layer.weight", 1, [images])
    assert moments.own.tolist() == [[[(1 + 9) / 2, 2 / 2], [2 / 2, 4 / 2]]]
    assert moments.crossed.tolist() == [[[(5 * 1 + 3 * 3) / 2, 5 * 2 / 2]]]
    assert (moments.output_square, moments.samples) == ((25 + 9) / 2, 2)


def test_a_module_that_is_called_twice_sums_its_inputs():
    layer = nn.Conv2d(4, 4, 3, padding=1, bias=False)
    model, reference = two_models(layer, nn.Conv2d(3, 4, 1))
    images = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    for one in (model, reference):
        one.add_module("in_place", nn.ReLU(inplace=True))
        one.steps = ["first", "relu", "layer", "in_place", "layer", "in_place"]
    names = ["first.weight", "layer.weight"]
    assert layers_in_order(model, names, images) == {"first.weight": 1, "layer.weight": 2}
    moments = measure_inputs(model, reference, "layer.weight", 2, [images])
    x = [inputs_before(model, images)]
    r = [inputs_before(reference, images)]
    x.append(torch.relu(layer(x[0])).detach())
    r.append(torch.relu(layer(r[0])).detach())
    assert_moments(moments, layer, 1, x, r)


class InPlace(nn.Module):
    """Changes the input of its layer in place after the layer, and then uses both."""

    def __init__(self, calls):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1, bias=False)
        self.calls = calls

    def forward(self, x):
        x = x - 0.5
        for _ in range(self.calls):
            outputs = self.layer(x)
            x.relu_()
            x = x + outputs.relu_()
        return x


@pytest.mark.parametrize("calls", [1, 3])
def test_operations_in_place_after_the_layer_do_not_change_its_inputs(calls):
    torch.manual_seed(0)
    model = InPlace(calls).eval()
    images = torch.randn(2, 3, 4, 4)
    moments = measure_inputs(model, copy.deepcopy(model), "layer.weight", calls, [images])
    x = images - 0.5
    inputs = []
    for _ in range(calls):
        inputs.append(x)
        x = (torch.relu(x) + torch.relu(model.layer(x))).detach()
    assert_moments(moments, model.layer, 1, inputs, inputs)


def test_layers_come_in_the_order_of_their_first_call():
    model = Called(a=nn.Linear(3, 3), b=nn.Linear(3, 3), c=nn.Linear(3, 3), d=nn.Linear(3, 3))
    model.steps = ["c", "a", "c", "d"]
    names = ["a.weight", "b.weight", "c.weight"]
    calls = layers_in_order(model, names, torch.zeros(2, 3))
    assert list(calls.items()) == [("c.weight", 2), ("a.weight", 1)]


def test_at_most_128_positions_of_an_image_and_the_same_ones_in_both_models():
    model = Called(layer=nn.Conv2d(1, 1, 1, bias=False)).eval()
    reference = Called(layer=nn.Conv2d(1, 1, 1, bias=False)).eval()
    images = torch.randn(40, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    moments = measure_inputs(model, reference, "layer.weight", 1, [images, images[:3]])
    again = measure_inputs(model, reference, "layer.weight", 1, [images, images[:3]])
    assert moments.samples == 43 * 128
    weight = float(reference.get_parameter("layer.weight").detach())
    torch.testing.assert_close(moments.crossed, weight * moments.own)
    assert torch.equal(moments.own, again.own)
    assert torch.equal(moments.crossed, again.crossed)
    few = measure_inputs(model, reference, "layer.weight", 1, [images[:, :, :8]])
    assert few.samples == 40 * 96


class Failing(nn.Module):
    def forward(self, x):
        raise RuntimeError("out of order")


@pytest.mark.parametrize("fails", [False, True])
def test_models_keep_their_modes_hooks_weights_and_the_random_state(fails):
    layer = nn.Linear(4, 5)
    model, reference = two_models(layer, nn.Linear(3, 4))
    model.relu.train()
    kept = model.layer.register_forward_pre_hook(lambda module, arguments: None)
    if fails:
        model.add_module("first", Failing())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    random_state = torch.get_rng_state()
    images = torch.randn(2, 3, generator=torch.Generator().manual_seed(1))
    if fails:
        with pytest.raises(RuntimeError, match="out of order"):
            layers_in_order(model, ["layer.weight"], images)
        with pytest.raises(RuntimeError, match="out of order"):
            measure_inputs(model, reference, "layer.weight", 1, [images])
    else:
        layers_in_order(model, ["layer.weight"], images)
        measure_inputs(model, reference, "layer.weight", 1, [images])
    assert [module.training for module in model.modules()] == modes
    assert list(model.layer._forward_pre_hooks) == [kept.id]
    for one in (model, reference):
        hooks = [len(module._forward_pre_hooks) for module in one.modules()]
        assert sum(hooks) == (1 if one is model else 0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)


def test_products_are_in_full_float32_and_the_setting_comes_back():
    """TF32 on a GPU would drown the output error of 8 bits."""
    model, reference = two_models(nn.Linear(4, 2), nn.Linear(4, 4))
    seen = []
    model.first.register_forward_hook(lambda *_: seen.append(torch.get_float32_matmul_precision()))
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        measure_inputs(model, reference, "layer.weight", 1, [torch.randn(3, 4)])
        assert set(seen) == {"highest"}
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
