"""The notebook interface: a copy, a line for each layer, and the number of clusters taken at its
word.
"""

import copy

import pytest
import torch

from core import models
from core.compress.affine import quantize
from core.compress.kmeans import share_weights
from core.errors import UserError
from core.models.parameters import batchnorm_weights, prunable_weights
from core.quantization import QuantizeNetwork
from tests.toys import Flat, Tied, batch


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = models.build("ResNet20", 10)
    for weight in batchnorm_weights(model).values():
        weight.data.uniform_(0.5, 1.5)
    return model


def weights(model):
    return prunable_weights(model) | batchnorm_weights(model)


def test_five_clusters_are_five_values_in_every_layer(model, capsys):
    before = copy.deepcopy(model.state_dict())
    quantized = QuantizeNetwork(verbose=True)(model, 5)
    assert all(len(weight.unique()) == 5 for weight in weights(quantized).values())
    for name, weight in weights(quantized).items():
        assert torch.equal(weight, share_weights(before[name], 5).decode())
    changed = {
        name
        for name, tensor in quantized.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert changed == set(weights(model))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "conv1.weight: 432 -> 5 unique weights"
    assert len(lines) == len(weights(model)) == 20 + 19


def test_pruned_weights_stay_pruned_in_both_steps():
    model = Flat()
    model.conv.weight.data[:, 1] = 0
    quantize_network = QuantizeNetwork(verbose=False)
    shared = quantize_network(model, 3)
    small = quantize_network.to_8bit(shared)
    for result in (shared, small):
        assert torch.equal(result.conv.weight == 0, model.conv.weight == 0)
        assert len(result.conv.weight.unique()) == 4


def test_8_bit_is_one_grid_a_layer_and_rounds_shared_values(model):
    quantize_network = QuantizeNetwork(verbose=False)
    shared = quantize_network(model, 5)
    small = quantize_network.to_8bit(shared)
    for name, weight in weights(small).items():
        assert torch.equal(weight, quantize(shared.get_parameter(name)).decode())
        assert len(weight.unique()) <= 5
    alone = quantize_network.to_8bit(model)
    assert max(len(weight.unique()) for weight in weights(alone).values()) > 100
    assert all(len(weight.unique()) <= 256 for weight in weights(alone).values())


def test_quiet_and_default(capsys):
    quantized = QuantizeNetwork(verbose=False)(Flat())
    assert len(quantized.head.weight.unique()) == 5
    QuantizeNetwork(verbose=False).to_8bit(quantized)
    assert capsys.readouterr().out == ""


def test_the_copy_is_independent_and_usable():
    model = Flat().eval()
    quantized = QuantizeNetwork(verbose=False)(model, 2)
    assert not quantized.training
    images, labels = batch()
    torch.nn.functional.cross_entropy(quantized(images), labels).backward()
    assert model.conv.weight.grad is None
    assert quantized.conv.weight.grad is not None


def test_shared_layers_stay_shared():
    tied = QuantizeNetwork(verbose=False)(Tied(), 2)
    assert tied.first.weight is tied.second.weight
    assert len(tied.first.weight.unique()) == 2


@pytest.mark.parametrize("clusters", [1, 0, 257])
def test_bad_numbers_of_clusters(clusters):
    with pytest.raises(UserError, match=rf"clusters must be in \[2, 256\], got {clusters}"):
        QuantizeNetwork(verbose=False)(Flat(), clusters)


def test_a_diverged_layer_is_named():
    model = Flat()
    model.conv.weight.data[0, 0, 0, 0] = float("nan")
    for step in (QuantizeNetwork(verbose=False), QuantizeNetwork(verbose=False).to_8bit):
        with pytest.raises(UserError, match=r"conv\.weight holds NaN"):
            step(model)
