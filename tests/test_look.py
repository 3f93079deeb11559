"""One network looking at one picture, and several side by side."""

import numpy as np
import pytest
import torch
from torch import nn

from core.inspect import figures
from core.inspect.activations import capture
from core.inspect.beside import Beside
from core.inspect.channels import measure
from core.inspect.look import look, normalised, totals
from core.models import build
from core.models.saved import Facts

FACTS = Facts(model="LeNet5", dataset="Digits", classes=tuple("0123456789"), mean=(0.5, 0.25, 0.0),
              std=(0.5, 0.5, 1.0), side=32)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (3, 32, 32), np.uint8)


def network(name="LeNet5", seed=0):
    torch.manual_seed(seed)
    return build(name, 10).eval()


class Hand(nn.Module):
    """Two channels of the red pixel: max(w0 r, 0) and max(w1 r, 0)."""

    def __init__(self, *weights):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1, bias=False)
        self.conv.weight.data = torch.tensor([[w, 0.0, 0.0] for w in weights]).view(2, 3, 1, 1)

    def forward(self, images):
        return torch.relu(self.conv(images)).mean((2, 3))


PLAIN = FACTS.model_copy(update={"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "classes": ("a", "b")})
WHITE = np.full((3, 2, 2), 255, np.uint8)


def test_pixels_become_what_the_network_was_trained_on():
    pixels = np.array([255, 0, 51], np.uint8).reshape(1, 3, 1, 1)
    assert normalised(pixels, FACTS).flatten().tolist() == pytest.approx([1.0, -0.5, 0.2])


def test_a_look_is_what_capture_sees(image):
    model = network("ResNet20")
    seen, expected = look(model, image, FACTS), capture(model, normalised(image[None], FACTS))
    assert list(seen.shapes) == list(expected)
    for key, output in expected.items():
        assert np.array_equal(seen.maps(key), output[0].numpy())
    with torch.no_grad():
        logits = model(normalised(image[None], FACTS))[0]
    assert seen.probabilities == pytest.approx(torch.softmax(logits.double(), 0).numpy())
    assert not any(module._forward_hooks for module in model.modules())


def test_the_weights_behind_a_relu():
    model = network("LeNet5")
    weights = look(model, np.zeros((3, 32, 32), np.uint8), FACTS).weights
    assert list(weights.values()) == [("features.0.weight",), ("features.3.weight",), ("classifier.0.weight",),
                                      ("classifier.2.weight",)]


def test_a_sum_of_two_convolutions_names_both():
    weights = look(network("ResNet50"), np.zeros((3, 32, 32), np.uint8), FACTS).weights
    assert len(weights) == 49
    *_, second, third = list(weights.items())[:4]
    assert second[1] == ("layer1.0.conv2.weight",)
    assert third[1] == ("layer1.0.conv3.weight", "layer1.0.downsample.0.weight")


def test_totals_over_batches_are_the_statistics_of_all():
    images = np.random.default_rng(1).integers(0, 256, (10, 3, 32, 32), np.uint8)
    model = network()
    *_, last = totals(model, images, FACTS, size=4)
    expected = measure(model, normalised(images, FACTS))
    assert last.keys() == expected.keys()
    for key, value in expected.items():
        assert last[key].count == value.count
        assert torch.equal(last[key].zero_count, value.zero_count)
        assert last[key].mean.tolist() == pytest.approx(value.mean.tolist(), rel=1e-4, abs=1e-6)


def beside(*weights):
    return Beside(tuple(look(Hand(*pair), WHITE, PLAIN) for pair in weights))


def test_two_networks_by_hand():
    both = beside((2.0, 1.0), (1.0, -1.0))
    assert both.alike
    (row,) = both.rows
    (first, second), (difference,) = both.channels(row, "channel"), both.differences(row, "channel")
    assert (first.scale.low, first.scale.high) == (second.scale.low, second.scale.high) == (0.0, 2.0)
    assert (difference.scale.low, difference.scale.high) == (-1.0, 1.0)
    assert [line[f"Mean {letter}"] for line in figures.by_channel(both, row, [None, None]) for letter in "AB"] == [
        2.0, 1.0, 1.0, 0.0]
    (line,) = figures.by_layer(both, [None, None])
    assert line["Channels"] == "2 of 2 × 2"
    assert (line["Dead A"], line["Dead B"], line["Newly dead B"]) == (0, 1, 1)
    assert (line["Zeros A"], line["Zeros B"]) == (0.0, 0.5)
    assert (line["Max A"], line["Max B"], line["Mean A"], line["Difference B"]) == (2.0, 1.0, 1.5, 1.0)
    assert line["Cosine B"] == pytest.approx(2 / 5 ** 0.5)


@pytest.mark.parametrize(("by", "expected"), [("channel", [0, 1]), ("strength", [1, 0]), ("difference", [0, 1])])
def test_the_order_of_the_channels(by, expected):
    both = beside((1.0, 2.0), (4.0, 2.5))
    assert [order.tolist() for order in both.order(both.rows[0], by)] == [expected, expected]


def test_three_networks_have_two_differences():
    three = beside((1.0, 2.0), (1.0, 2.0), (0.0, 3.0))
    row = three.rows[0]
    assert len(three.channels(row, "channel")) == 3
    assert len(three.differences(row, "channel")) == 2
    lines = figures.by_channel(three, row, [None] * 3)
    assert [(line["Difference B"], line["Difference C"]) for line in lines] == [(0.0, 1.0), (0.0, 1.0)]


def test_one_alone_needs_no_letters():
    alone = beside((1.0, 2.0))
    assert alone.differences(alone.rows[0], "difference") == []
    assert {"Channel", "Mean", "Dead"} <= figures.by_channel(alone, alone.rows[0], [None])[0].keys()


def test_networks_that_differ_stand_side_by_side(image):
    looks = tuple(look(network(name), image, FACTS) for name in ("LeNet5", "ResNet20"))
    both = Beside(looks)
    assert not both.alike
    assert both.changes == []
    assert len(both.rows) == 19
    assert both.rows[3] == ("classifier.3", list(looks[1].shapes)[3])
    assert both.rows[4][0] is None
    assert both.channels(both.rows[4], "difference")[0] is None
    assert both.differences(both.rows[0], "channel") == []
    assert [line["Layer"] for line in figures.by_layer(both, [None, None])][4] == both.rows[4][1]
    assert len(figures.by_channel(both, both.rows[0], [None, None])) == 16


def test_batch_figures_have_their_column():
    one = beside((1.0, 2.0))
    *_, batch = totals(Hand(-1.0, 1.0), np.stack([WHITE] * 3), PLAIN)
    assert figures.by_layer(one, [batch])[0]["Dead in batch"] == 1
    assert [line["Dead in batch"] for line in figures.by_channel(one, one.rows[0], [batch])] == [True, False]


@pytest.mark.parametrize("name", ["VGG16", "ResNet50"])
def test_every_relu_has_its_picture_of_the_size_asked_for(name, image):
    seen = Beside((look(network(name), image, FACTS),))
    assert len(seen.rows) == {"VGG16": 15, "ResNet50": 49}[name]
    for row in seen.rows:
        (shown,) = seen.channels(row, "strength", width=600, aspect=3.0)
        assert sorted(shown.grid.order.tolist()) == list(range(len(seen.maps(row)[0])))
        assert shown.pixels.shape[1] <= 1460  # what Streamlit passes on as it is
