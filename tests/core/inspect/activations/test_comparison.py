"""Several networks on one image: their order, scales, differences and tables."""

import numpy as np
import pytest
import torch
from torch import nn

from core.inspect.activations.comparison import ActivationComparison, strongest_first
from core.inspect.activations.forward import run_forward, running_statistics
from core.inspect.activations.tables import channel_table, layer_table
from core.models import build
from core.models.card import ModelCard

CARD = ModelCard(
    model="LeNet5",
    dataset="Digits",
    classes=("a", "b"),
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    side=32,
)


class Hand(nn.Module):
    """Two channels of the red pixel: max(w0 r, 0) and max(w1 r, 0)."""

    def __init__(self, *weights):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1, bias=False)
        self.conv.weight.data = torch.tensor([[w, 0.0, 0.0] for w in weights]).view(2, 3, 1, 1)

    def forward(self, images):
        return torch.relu(self.conv(images)).mean((2, 3))


WHITE = np.full((3, 2, 2), 255, np.uint8)


def compared(*weights):
    """The comparison of one `Hand` for each pair of weights."""
    return ActivationComparison(tuple(run_forward(Hand(*pair), WHITE, CARD) for pair in weights))


def test_two_networks_by_hand():
    both = compared((2.0, 1.0), (1.0, -1.0))
    assert both.same_layers
    (row,) = both.rows
    (first, second) = both.channel_mosaics(row, "channel")
    (difference,) = both.difference_mosaics(row, "channel")
    assert (
        (first.scale.low, first.scale.high) == (second.scale.low, second.scale.high) == (0.0, 2.0)
    )
    assert (difference.scale.low, difference.scale.high) == (-1.0, 1.0)
    assert [
        line[f"Mean {letter}"] for line in channel_table(both, row, [None, None]) for letter in "AB"
    ] == [2.0, 1.0, 1.0, 0.0]
    (line,) = layer_table(both, [None, None])
    assert line["Channels"] == "2 of 2 × 2"
    assert (line["Dead A"], line["Dead B"], line["Newly dead B"]) == (0, 1, 1)
    assert (line["Zeros A"], line["Zeros B"]) == (0.0, 0.5)
    assert (line["Max A"], line["Max B"], line["Mean A"], line["Difference B"]) == (
        2.0,
        1.0,
        1.5,
        1.0,
    )
    assert line["Cosine B"] == pytest.approx(2 / 5**0.5)


@pytest.mark.parametrize(
    ("by", "expected"), [("channel", [0, 1]), ("strength", [1, 0]), ("difference", [0, 1])]
)
def test_the_order_of_the_channels(by, expected):
    both = compared((1.0, 2.0), (4.0, 2.5))
    assert [order.tolist() for order in both.channel_order(both.rows[0], by)] == [
        expected,
        expected,
    ]


def test_three_networks_have_two_differences():
    three = compared((1.0, 2.0), (1.0, 2.0), (0.0, 3.0))
    row = three.rows[0]
    assert len(three.channel_mosaics(row, "channel")) == 3
    assert len(three.difference_mosaics(row, "channel")) == 2
    lines = channel_table(three, row, [None] * 3)
    assert [(line["Difference B"], line["Difference C"]) for line in lines] == [
        (0.0, 1.0),
        (0.0, 1.0),
    ]


def test_one_alone_needs_no_letters():
    alone = compared((1.0, 2.0))
    assert alone.difference_mosaics(alone.rows[0], "difference") == []
    assert {"Channel", "Mean", "Dead"} <= channel_table(alone, alone.rows[0], [None])[0].keys()


def test_networks_that_differ_stand_side_by_side(image):
    passes = tuple(
        run_forward(build(name, 10).eval(), image, CARD) for name in ("LeNet5", "ResNet20")
    )
    both = ActivationComparison(passes)
    assert not both.same_layers
    assert both.changes == []
    assert len(both.rows) == 19
    assert both.rows[3] == ("classifier.3", list(passes[1].shapes)[3])
    assert both.rows[4][0] is None
    assert both.channel_mosaics(both.rows[4], "difference")[0] is None
    assert both.difference_mosaics(both.rows[0], "channel") == []
    assert [line["Layer"] for line in layer_table(both, [None, None])][4] == both.rows[4][1]
    assert len(channel_table(both, both.rows[0], [None, None])) == 16


def test_batch_figures_have_their_column():
    one = compared((1.0, 2.0))
    *_, batch = running_statistics(Hand(-1.0, 1.0), np.stack([WHITE] * 3), CARD)
    assert layer_table(one, [batch])[0]["Dead in batch"] == 1
    assert [line["Dead in batch"] for line in channel_table(one, one.rows[0], [batch])] == [
        True,
        False,
    ]


@pytest.mark.parametrize("name", ["VGG16", "ResNet50"])
def test_every_relu_has_its_picture_of_the_size_asked_for(name, image):
    seen = ActivationComparison((run_forward(build(name, 10).eval(), image, CARD),))
    assert len(seen.rows) == {"VGG16": 15, "ResNet50": 49}[name]
    for row in seen.rows:
        (shown,) = seen.channel_mosaics(row, "strength", width=600, aspect=3.0)
        (maps,) = seen.maps(row)
        assert shown is not None
        assert maps is not None
        assert sorted(shown.grid.order.tolist()) == list(range(len(maps)))
        assert shown.pixels.shape[1] <= 1460  # what Streamlit passes on as it is


def test_the_strongest_come_first_and_equals_keep_their_order():
    assert strongest_first(np.array([1.0, 3.0, np.nan, 3.0, 0.0])).tolist() == [1, 3, 0, 4, 2]
