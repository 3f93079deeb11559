"""Networks leave without their dead channels, and whole where that cannot be done."""

import numpy as np
import pytest
import torch
from torch import nn

from core import models
from core.deploy.onnx.engine import OnnxEngine
from core.deploy.onnx.export import export_onnx
from core.deploy.onnx.int8 import quantize_int8
from core.deploy.onnx.layers import weights_in_file
from core.deploy.smaller import network_in_file, without_dead_channels
from core.deploy.tensors import int8_errors
from core.models.card import ModelCard
from tests.toys import Flat, batch


def card(side=8, classes=5):
    return ModelCard(
        model="LeNet5",
        classes=tuple(str(number) for number in range(classes)),
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        side=side,
    )


@pytest.fixture
def pruned():
    """LeNet5 whose first layer makes 2 channels of zeros, and which never reads 4 of the second."""
    torch.manual_seed(0)
    network = models.build("LeNet5", 10).eval()
    with torch.no_grad():
        network.get_parameter("features.0.weight")[:2] = 0
        network.get_parameter("classifier.0.weight")[:, : 4 * 5 * 5] = 0
    return network


def test_a_pruned_network_is_smaller_in_its_file_and_answers_the_same(pruned):
    smaller = without_dead_channels(pruned, card(32, 10))
    exported = export_onnx(smaller.network, card(32, 10))
    shapes = {name: tuple(weight.shape) for name, weight in weights_in_file(exported).items()}
    assert shapes["features.0.weight"] == (4, 3, 5, 5)
    assert shapes["features.3.weight"] == (12, 4, 5, 5)
    assert shapes["classifier.0.weight"] == (120, 12 * 5 * 5)
    images, _ = batch(3, side=32)
    with torch.no_grad():
        expected = pruned(images).numpy()
    np.testing.assert_allclose(OnnxEngine(exported).run(images.numpy()), expected, atol=1e-5)
    assert pruned.get_parameter("features.0.weight").shape == (6, 3, 5, 5)


def test_it_says_what_left(pruned):
    """By hand: 28 x 28, 10 x 10 and 5 x 5 positions; linear layers of 120, 84 and 10 outputs."""
    smaller = without_dead_channels(pruned, card(32, 10))
    (note,) = smaller.notes()
    others = 120 * 84 + 84 * 10
    before = 6 * 75 + 16 * 6 * 25 + 120 * 400 + others
    after = 4 * 75 + 12 * 4 * 25 + 120 * 300 + others
    assert note.level == "info"
    assert note.text == (
        "Dead channels: 6 of 236 leave the network; multiply-adds from 0.7 M to 0.4 M, weights"
        f" from {before:,} to {after:,}."
    )


def test_a_network_without_zeros_is_returned_itself():
    network = Flat().eval()
    smaller = without_dead_channels(network, card())
    assert smaller.network is network
    assert (str(smaller), smaller.notes()) == ("", [])


def test_a_network_whose_zeros_cut_no_channel_off_is_returned_itself():
    network = Flat().eval()
    with torch.no_grad():
        network.conv.weight[0, 0] = 0
    smaller = without_dead_channels(network, card())
    assert smaller.network is network
    assert smaller.notes() == []


def test_a_scale_of_zero_makes_a_dead_channel_too():
    network = Flat().eval()
    with torch.no_grad():
        network.norm.weight[0] = 0
    smaller = without_dead_channels(network, card())
    assert str(smaller).startswith("Dead channels: 1 of 9 leave the network;")


class Deciding(nn.Module):
    """A network whose way depends on the image, which cannot be followed without one."""

    def __init__(self) -> None:
        super().__init__()
        self.flat = Flat()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.flat(images)
        return logits if images.sum() > 0 else -logits


def test_a_network_that_cannot_be_analysed_stays_whole():
    network = Deciding().eval()
    with torch.no_grad():
        network.flat.conv.weight[0] = 0
    smaller = without_dead_channels(network, card())
    assert smaller.network is network
    (note,) = smaller.notes()
    assert note.level == "warning"
    assert note.text.startswith("Dead channels stay in the network, as they cannot be removed: ")


class ReadsItsWeights(nn.Module):
    """A network that adds the mean of a weight, which zeros belong to, to its logits."""

    def __init__(self) -> None:
        super().__init__()
        self.flat = Flat()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.flat(images) + 100 * self.flat.conv.weight.square().mean()
        return logits


def test_a_network_that_would_answer_differently_stays_whole():
    network = ReadsItsWeights().eval()
    with torch.no_grad():
        network.flat.conv.weight[:2] = 0
    smaller = without_dead_channels(network, card())
    assert smaller.network is network
    assert "without them, a logit differs by" in smaller.notes()[0].text


@pytest.mark.parametrize("is_whole", [True, False])
def test_an_8_bit_file_is_compared_with_the_network_that_it_was_made_of(pruned, is_whole):
    """Older files have all channels."""
    facts = card(32, 10)
    source = pruned if is_whole else without_dead_channels(pruned, facts).network
    pixels = batch(4, side=32)[0].numpy()
    quantized = quantize_int8(export_onnx(source, facts), [pixels])
    network = network_in_file(quantized, pruned, facts)
    assert (network is pruned) == is_whole
    errors = int8_errors(export_onnx(network, facts), quantized, pixels)
    assert errors[0].layer == "features.0"
