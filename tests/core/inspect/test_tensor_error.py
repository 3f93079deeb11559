"""The error of each layer's output, on networks whose outputs can be added up by hand."""

import copy
import math

import pytest
import torch

from core.errors import UserError
from core.inspect.tensor_error import capture_layers, error_rows, network_errors, tensor_errors
from tests.toys import Flat, Tied, batch, scalar


def test_ratios_and_falls_by_hand():
    # Signal 4 with noise 0.04, 0.4 and 4: 20, 10 and 0 decibels.
    signal = torch.tensor([[2.0, 0.0]])
    reference = {"a": signal, "b": signal, "c": signal}
    noise = {"a": 0.04, "b": 0.4, "c": 4.0}
    approximation = {
        layer: signal + torch.tensor([[0.0, math.sqrt(value)]]) for layer, value in noise.items()
    }
    rows = error_rows(tensor_errors(reference, approximation))
    assert [row["layer"] for row in rows] == ["a", "b", "c"]
    assert [row["snr"] for row in rows] == pytest.approx([20, 10, 0], abs=1e-5)
    assert [row["fall"] for row in rows] == [
        None,
        pytest.approx(10, abs=1e-5),
        pytest.approx(10, abs=1e-5),
    ]


def test_layers_of_other_names_and_shapes_are_left_out():
    reference = {"a": torch.ones(2), "b": torch.ones(3), "c": torch.ones(1)}
    approximation = {"a": torch.ones(2), "b": torch.ones(2)}
    assert [error.layer for error in tensor_errors(reference, approximation)] == ["a"]
    with pytest.raises(UserError, match="no layer of the same name"):
        tensor_errors({"a": torch.ones(2)}, {"b": torch.ones(2)})


def test_equal_networks_have_no_error():
    images, _ = batch()
    model = Flat()
    same = network_errors(model, copy.deepcopy(model), images)
    assert [error.layer for error in same] == ["conv", "head"]
    assert [error.snr for error in same] == [math.inf, math.inf]
    assert [error.fall for error in same] == [None, None]


def test_the_outputs_are_those_of_the_layers():
    model = Flat().eval()
    images, _ = batch()
    outputs = capture_layers(model, images)
    assert list(outputs) == ["conv", "head"]
    assert torch.equal(outputs["conv"], model.conv(images))
    assert torch.equal(outputs["head"], model(images))


def test_an_error_shows_at_its_layer_and_after_it():
    model = Flat()
    images, _ = batch()
    spoilt = copy.deepcopy(model)
    spoilt.head.weight.data += 0.1
    conv, head = network_errors(model, spoilt, images)
    assert conv.snr == math.inf
    assert head.snr < 40


def test_by_hand_on_a_linear_layer():
    # logits = W x of x = (1, 0) are (1, 3); with W[1, 0] = 2 they are (1, 2): 10 log10(10 / 1).
    model = scalar()
    other = copy.deepcopy(model)
    other.weight.data[1, 0] = 2.0
    x = torch.tensor([[1.0, 0.0]])
    with torch.no_grad():
        error, *_ = tensor_errors({"": model(x)}, {"": other(x)})
    assert error.snr == pytest.approx(10)


def test_the_model_is_left_as_it_was():
    model = Flat(dropout=0.5).train()
    images, _ = batch()
    before = copy.deepcopy(model.state_dict())
    capture_layers(model, images)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not model.conv._forward_hooks


def test_a_shared_weight_is_a_single_layer():
    assert list(capture_layers(Tied(), torch.ones(2, 3))) == ["first"]
