"""Plans that do not fit, and networks that are rebuilt from their plans."""

from typing import Any

import pytest
import torch
from torch import nn

from core import models
from core.compress.channels.plan import ChannelPlan, LayerPlan
from core.compress.channels.remove import build_smaller, remove_channels
from core.errors import UserError


def plan_of(name, **options):
    return ChannelPlan(layers={name: LayerPlan(**options)})


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("9", {"outputs": (0,), "of_outputs": 2}, "which the network has not"),
        ("1", {"outputs": (0,), "of_outputs": 2}, "cannot be removed"),
        ("0", {"outputs": (2,), "of_outputs": 2}, "ascending numbers below 2"),
        ("0", {"outputs": (1, 0), "of_outputs": 2}, "ascending"),
        ("0", {"outputs": (), "of_outputs": 2}, "ascending"),
        (
            "0",
            {"inputs": (0,), "of_inputs": 4, "outputs": (0,), "of_outputs": 2},
            "4 inputs and 2 outputs, but it has 3 and 2",
        ),
        (
            "0",
            {
                "inputs": (0,),
                "of_inputs": 3,
                "outputs": (0,),
                "of_outputs": 2,
                "constants": {7: 1.0},
            },
            "no such inputs",
        ),
        (
            "0",
            {"inputs": (0,), "of_inputs": 3, "outputs": (0,), "of_outputs": 2, "into": 0},
            "not constant",
        ),
    ],
)
def test_a_plan_that_does_not_fit_is_refused_by_the_layers_name(name, options, sentence):
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU())
    with pytest.raises(UserError, match=sentence) as refused:
        remove_channels(network, plan_of(name, **options))
    assert name in str(refused.value)


def test_weights_of_another_plan_are_refused():
    state = models.build("LeNet5", 10).state_dict()
    plan = plan_of(
        "classifier.2", inputs=(0, 1), of_inputs=120, outputs=tuple(range(84)), of_outputs=84
    )
    with pytest.raises(UserError, match="LeNet5 without channels"):
        build_smaller("LeNet5", 10, plan, state)


def test_the_copy_can_be_trained_and_keeps_what_was_frozen():
    network: Any = models.build("LeNet5", 10)
    network.features[0].weight.requires_grad_(False)
    plan = ChannelPlan(
        layers={
            "features.0": LayerPlan(inputs=(0, 1, 2), of_inputs=3, outputs=(1, 4), of_outputs=6),
            "features.3": LayerPlan(
                inputs=(1, 4), of_inputs=6, outputs=tuple(range(16)), of_outputs=16
            ),
        }
    )
    smaller: Any = remove_channels(network, plan)
    smaller(torch.randn(2, 3, 32, 32)).sum().backward()
    assert smaller.features[0].weight.grad is None
    assert smaller.features[3].weight.grad.shape == (16, 2, 5, 5)
    assert torch.equal(smaller.features[3].weight, network.features[3].weight[:, [1, 4]])
