"""Cosines by hand, and the layer at which two networks part."""

import math

import pytest
import torch

from core.errors import UserError
from core.inspect.activations import capture
from core.inspect.behaviour.similarity import first_parting_layer, layer_similarities
from tests import toys


def one(values):
    return {"layer": torch.tensor(values)}


def test_cosines_by_hand():
    first = {"b": torch.tensor([[3.0, 4.0]]), "a": torch.tensor([[[[1.0, 0.0]]]])}
    second = {"a": torch.tensor([[[[0.0, 2.0]]]]), "b": torch.tensor([[4.0, 3.0]])}
    similarities = layer_similarities(first, second)
    assert list(similarities) == ["b", "a"]
    assert similarities == pytest.approx({"b": 24 / 25, "a": 0})


def test_every_image_has_the_same_weight():
    first = one([[1.0, 0.0], [100.0, 0.0]])
    second = one([[0.0, 1.0], [100.0, 0.0]])
    assert layer_similarities(first, second)["layer"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("first", "second", "cosine"),
    [
        ([[0.0, 0.0]], [[0.0, 0.0]], 1),
        ([[0.0, 0.0]], [[1.0, 0.0]], 0),
        ([[1e-30, 1e-30]], [[1e30, 1e30]], 1),
        ([[1.0, -2.0]], [[-2.0, 4.0]], -1),
    ],
)
def test_edges(first, second, cosine):
    assert layer_similarities(one(first), one(second))["layer"] == pytest.approx(cosine)


def test_other_layers_are_left_out():
    first = {"a": torch.ones(2, 3), "b": torch.ones(2, 3), "c": torch.ones(2, 3)}
    second = {"a": torch.ones(2, 4), "b": torch.ones(2, 3)}
    assert list(layer_similarities(first, second)) == ["b"]
    with pytest.raises(UserError, match="no layer of the same name and shape"):
        layer_similarities({"a": first["a"]}, second)


def test_the_first_layer_below_the_threshold():
    similarities = {"a": 0.99, "b": 0.9, "c": 0.95, "d": 0.5}
    assert first_parting_layer(similarities, 0.9) == "d"
    assert first_parting_layer(similarities, 0.95) == "b"
    assert first_parting_layer(similarities, 0.5) is None
    spoilt = layer_similarities(one([[math.nan, 1.0]]), one([[1.0, 1.0]]))
    assert first_parting_layer(spoilt, -1) == "layer"


def test_the_activations_of_a_network():
    model = toys.Flat()
    images, _ = toys.batch()
    same = layer_similarities(capture(model, images), capture(model, images))
    assert list(same) == ["/relu:1"]
    assert first_parting_layer(same, 0.999_999) is None
    assert (
        first_parting_layer(
            layer_similarities(capture(model, images), capture(toys.Flat(), images)), 0.999_999
        )
        == "/relu:1"
    )
