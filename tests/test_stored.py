"""Layers and weights of models on disk."""

import pytest
import torch

from core import models
from core.errors import UserError
from core.inspect.stored import Layer, beside, layers, load_weight
from core.models.parameters import prunable
from core.models.saved import Facts, pack


def facts(model):
    return Facts(model=model, dataset="Digits", classes=tuple("0123456789"), mean=(0,), std=(1,), side=32)


def named(*names):
    return [Layer(name, (1, 1)) for name in names]


def names(rows):
    return [tuple(layer.name if layer else "" for layer in row) for row in rows]


@pytest.mark.parametrize("name", ["LeNet5", "ResNet20", "resnet50"])
def test_all_layers_in_order_with_their_shapes(name):
    expected = [(key, tuple(weight.shape)) for key, weight in prunable(models.build(name, 10)).items()]
    assert [(layer.name, layer.shape) for layer in layers(facts(name))] == expected
    assert Layer("", (10, 84)).size == "10 × 84"


def test_one_weight_is_read_bit_for_bit(tmp_path):
    model = models.build("LeNet5", 10)
    path = tmp_path / "model.safetensors"
    path.write_bytes(pack(model.state_dict(), facts("LeNet5")))
    for name, weight in prunable(model).items():
        assert torch.equal(load_weight(path, name), weight)
    with pytest.raises(UserError, match=r"other\.weight cannot be read from .*model\.safetensors"):
        load_weight(path, "other.weight")


@pytest.mark.parametrize("content", [None, b"", b"weights", b"\xff" * 100])
def test_a_file_that_is_none_is_refused(tmp_path, content):
    path = tmp_path / "model.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="gone, damaged or of another network"):
        load_weight(path, "fc.weight")


@pytest.mark.parametrize(("first", "second", "rows"), [
    ("ab", "ab", [("a", "a"), ("b", "b")]),
    ("ad", "abcd", [("a", "a"), ("", "b"), ("", "c"), ("d", "d")]),
    ("abd", "bcd", [("a", ""), ("b", "b"), ("", "c"), ("d", "d")]),
    ("ab", "xbyz", [("", "x"), ("a", ""), ("b", "b"), ("", "y"), ("", "z")]),
    ("ab", "xyz", [("a", "x"), ("b", "y"), ("", "z")])])
def test_layers_side_by_side(first, second, rows):
    assert names(beside(named(*first), named(*second))) == rows


def test_a_layer_of_one_name_and_two_shapes_is_one_row():
    first, second = Layer("fc", (10, 64)), Layer("fc", (100, 64))
    assert beside([first], [second]) == [(first, second)]
