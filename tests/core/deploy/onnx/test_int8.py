"""The integer network: how a weight is rounded, which layers stay in float, and its answers."""

import logging
from collections import Counter

import numpy as np
import pytest
import torch
from onnx.numpy_helper import to_array
from torch import nn

from core.deploy.onnx.engine import OnnxEngine
from core.deploy.onnx.export import export_onnx
from core.deploy.onnx.int8 import LARGEST_LEVEL, quantize_int8
from core.deploy.onnx.layers import weights_in_file
from core.deploy.onnx.metadata import card_of, parse_onnx
from core.deploy.variants import profile_onnx
from core.errors import UserError
from core.models.card import ModelCard


class Two(nn.Module):
    """Two 1 x 1 convolutions with a ReLU between, and the mean over all pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 2, 1, bias=False)
        self.last = nn.Conv2d(2, 2, 1, bias=False)
        # The largest of a row is 64 steps, so the first row's step is 1/64, the second's 1/32.
        first = torch.tensor([[1.0, -0.5, 0.0], [2.0, 0.1, -0.3]])
        last = torch.tensor([[0.64, -0.32], [0.0, 1.28]])
        self.first.weight.data = first[:, :, None, None]
        self.last.weight.data = last[:, :, None, None]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = torch.relu(self.first(images))
        logits: torch.Tensor = self.last(maps).mean((2, 3))
        return logits


CARD = ModelCard(
    model="LeNet5", dataset="", classes=("a", "b"), mean=(0, 0, 0), std=(1, 1, 1), side=4
)
IMAGES = np.random.default_rng(0).random((64, 3, 4, 4), np.float32)


@pytest.fixture(scope="module")
def exported() -> bytes:
    return export_onnx(Two(), CARD)


@pytest.fixture(scope="module")
def quantized(exported) -> bytes:
    return quantize_int8(exported, [IMAGES[:32], IMAGES[32:]])


def test_weights_are_rounded_by_hand(quantized):
    """Row 1: 1, -0.5, 0 by steps of 1/64. Row 2: 2, 0.1, -0.3 by steps of 1/32: 3.2 -> 3, ..."""
    weights = weights_in_file(quantized)
    assert weights["first.weight"].dtype == torch.int8
    assert weights["first.weight"].flatten(1).tolist() == [[64, -32, 0], [64, 3, -10]]
    assert weights["last.weight"].flatten(1).tolist() == [[64, -32], [0, 64]]
    assert LARGEST_LEVEL == 64
    tensors = {tensor.name: to_array(tensor) for tensor in parse_onnx(quantized).graph.initializer}
    assert tensors["first.weight_scale"] == pytest.approx([1 / 64, 1 / 32])
    assert not tensors["first.weight_zero_point"].any()  # so that a pruned weight is 0


def test_the_products_of_a_pair_fit_into_16_bits():
    assert 2 * 255 * LARGEST_LEVEL <= 2**15 - 1
    assert 2 * 255 * 127 > 2**15 - 1


def test_activations_are_unsigned_bytes_over_the_calibrated_range(quantized):
    tensors = {tensor.name: to_array(tensor) for tensor in parse_onnx(quantized).graph.initializer}
    assert tensors["images_zero_point"].dtype == np.uint8
    assert tensors["images_scale"] == pytest.approx(IMAGES.max() / 255, rel=1e-3)


def test_the_answers_are_near_those_in_float(exported, quantized):
    difference = OnnxEngine(quantized).run(IMAGES) - OnnxEngine(exported).run(IMAGES)
    assert 0 < np.abs(difference).max() < 0.02  # of logits up to 2: about one level


def test_layers_stay_in_float(exported):
    content = quantize_int8(exported, [IMAGES], float_layers=["first.weight"])
    weights = weights_in_file(content)
    assert weights["first.weight"].dtype == torch.float32
    assert weights["last.weight"].dtype == torch.int8
    with pytest.raises(UserError, match=r"must be among first\.weight, last\.weight, got 'third'"):
        quantize_int8(exported, [IMAGES], float_layers=["third"])


def test_a_layer_between_two_in_integers_runs_in_float():
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(4, 2, 3, padding=1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )
    exported = export_onnx(network, CARD)
    ran = {}
    for spared in ([], ["2.weight"]):
        content = quantize_int8(exported, [IMAGES], float_layers=spared)
        operators = profile_onnx(content, IMAGES[:2], threads=1)
        ran[len(spared)] = Counter(operator.op_type for operator in operators)
    assert (ran[0]["QLinearConv"], ran[0]["Conv"]) == (3, 0)
    assert (ran[1]["QLinearConv"], ran[1]["Conv"]) == (2, 1)


def test_the_card_is_kept(quantized):
    assert card_of(quantized) == CARD
    assert parse_onnx(quantized).producer_name == "Secateur"


def test_no_images_are_refused(exported):
    with pytest.raises(UserError, match="needs at least one image"):
        quantize_int8(exported, [])


def test_it_logs_nothing_and_leaves_the_level(exported, caplog, capfd):
    with caplog.at_level(logging.INFO):
        quantize_int8(exported, [IMAGES])
        assert logging.getLogger().level == logging.INFO
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")
