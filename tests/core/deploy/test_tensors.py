"""Tensors and operators of real ONNX files, matched with the layers of the network."""

import contextlib

import numpy as np
import pytest
import torch
from torch import nn

from core.deploy.graph_layers import layer_tensors, name_layers
from core.deploy.onnx.export import export_onnx
from core.deploy.onnx.int8 import quantize_int8
from core.deploy.tensors import int8_errors, run_tensors
from core.deploy.variants import (
    eager_call,
    onnx_call,
    openvino_call,
    profile_onnx,
    torch_threads,
)
from core.errors import UserError
from core.inspect.tensor_error import capture_layers
from core.models.card import ModelCard

CARD = ModelCard(
    model="toy", classes=("a", "b", "c"), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), side=8
)
THREADS = 1


class Branching(nn.Module):
    """Two convolutions, an addition and a linear layer; the second has no activation of its own."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 3)

    def forward(self, images):
        maps = torch.relu(self.first(images))
        maps = torch.relu(self.second(maps) + maps)
        return self.head(maps.mean((2, 3)))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Branching().eval()


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def exported(network):
    return export_onnx(network, CARD)


@pytest.fixture(scope="module")
def rounded(exported, pixels):
    return quantize_int8(exported, [pixels])


def test_the_tensors_of_a_layer_are_those_that_torch_computes(network, exported, pixels):
    tensors = layer_tensors(exported)
    assert list(tensors) == ["first", "second", "head"]
    assert [len(names) for names in tensors.values()] == [2, 1, 1]  # an activation only after first
    values = run_tensors(exported, [name for names in tensors.values() for name in names], pixels)
    layers = capture_layers(network, torch.from_numpy(pixels))
    for layer, names in tensors.items():
        assert values[names[0]] == pytest.approx(layers[layer].numpy(), abs=1e-5)
    assert values[tensors["first"][1]] == pytest.approx(layers["first"].relu().numpy(), abs=1e-5)


def test_the_error_of_8_bits_layer_by_layer(exported, rounded, pixels):
    errors = int8_errors(exported, rounded, pixels)
    assert [error.layer for error in errors] == ["first", "second", "head"]
    assert all(15 < error.snr < 60 for error in errors)


def test_a_layer_that_stays_in_float_inherits_the_error_of_the_one_before(
    exported, rounded, pixels
):
    file = quantize_int8(exported, [pixels], float_layers=["second.weight"])
    first, second, _ = int8_errors(exported, file, pixels)
    first_before, second_before, _ = int8_errors(exported, rounded, pixels)
    assert first == first_before
    assert second_before.snr < second.snr < first.snr


def test_files_of_two_networks_are_refused(exported, pixels):
    with pytest.raises(UserError, match="its own parent"):
        int8_errors(exported, exported, pixels)
    with pytest.raises(UserError, match="not an ONNX file"):
        int8_errors(b"nothing", exported, pixels)


@pytest.mark.parametrize("form", ["exported", "rounded"])
def test_the_profile_names_the_layers(form, exported, pixels, request):
    model = request.getfixturevalue(form)
    operators = name_layers(profile_onnx(model, pixels, THREADS), exported)
    names = {operator.name for operator in operators}
    assert {"first", "head"} <= names
    assert sum(operator.share for operator in operators) == pytest.approx(1)
    assert operators == sorted(operators, key=lambda one: one.milliseconds, reverse=True)


def test_all_forms_compute_the_same(network, exported, rounded, pixels):
    expected = network(torch.from_numpy(pixels)).detach().numpy()
    eager = eager_call(network, pixels)()
    assert eager.numpy() == pytest.approx(expected, abs=1e-5)
    assert onnx_call(exported, pixels, THREADS)() == pytest.approx(expected, abs=1e-5)
    assert onnx_call(rounded, pixels, THREADS)() == pytest.approx(expected, abs=0.05)


def test_openvino_computes_the_same(network, exported, rounded, pixels):
    pytest.importorskip("openvino")
    expected = network(torch.from_numpy(pixels)).detach().numpy()
    assert openvino_call(exported, pixels, THREADS)() == pytest.approx(expected, abs=1e-5)
    assert openvino_call(rounded, pixels, THREADS)() == pytest.approx(expected, abs=0.05)


def test_the_number_of_threads_is_put_back():
    before = torch.get_num_threads()
    with contextlib.suppress(RuntimeError), torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise RuntimeError
    assert torch.get_num_threads() == before
