"""The layers of two networks side by side."""

import pytest

from core.inspect.kernels.pairs import LayerShape, pair_layers


def named(*names):
    return [LayerShape(name, (1, 1)) for name in names]


def names(rows):
    return [tuple(layer.name if layer else "" for layer in row) for row in rows]


def test_a_layer_in_words():
    layer = LayerShape("classifier.4.weight", (10, 84))
    assert (layer.short, layer.size) == ("classifier.4", "10 × 84")


@pytest.mark.parametrize(
    ("first", "second", "rows"),
    [
        ("ab", "ab", [("a", "a"), ("b", "b")]),
        ("ad", "abcd", [("a", "a"), ("", "b"), ("", "c"), ("d", "d")]),
        ("abd", "bcd", [("a", ""), ("b", "b"), ("", "c"), ("d", "d")]),
        ("ab", "xbyz", [("", "x"), ("a", ""), ("b", "b"), ("", "y"), ("", "z")]),
        ("ab", "xyz", [("a", "x"), ("b", "y"), ("", "z")]),
    ],
)
def test_layers_side_by_side(first, second, rows):
    assert names(pair_layers(named(*first), named(*second))) == rows


def test_a_layer_of_one_name_and_two_shapes_is_one_row():
    first, second = LayerShape("fc", (10, 64)), LayerShape("fc", (100, 64))
    assert pair_layers([first], [second]) == [(first, second)]
