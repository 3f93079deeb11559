"""Multiply-adds counted by hand and by PyTorch's own counter, and file sizes by hand."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from core.forecast.cost import LayerCost, SizeEstimate, effective_macs, estimated_bytes, layer_costs
from core.models import MODELS, build_on_meta
from core.models.meta import meta_copy
from tests.networks import one_of_each_kind


def test_a_toy_by_hand():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),  # 8 x 8 -> 4 x 4
        nn.Conv2d(4, 6, (1, 2), groups=2),
        nn.Flatten(),  # 4 x 4 -> 4 x 3
        nn.Linear(72, 5),
    )
    assert layer_costs(network, 8) == [
        LayerCost("0.weight", "Conv2d", (4, 3, 3, 3), 108, 16 * 4 * 3 * 9),
        LayerCost("3.weight", "Conv2d", (6, 2, 1, 2), 24, 12 * 6 * 2 * 2),
        LayerCost("5.weight", "Linear", (5, 72), 360, 360),
    ]


class Tokens(nn.Module):
    """Linear layers over 2 x 2 patches: one called twice, one used as a function, one unused."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 5, 2, stride=2)
        self.twice = nn.Linear(5, 5)
        self.borrowed = nn.Linear(5, 7, bias=False)
        self.idle = nn.Linear(9, 9)

    def forward(self, images):
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        return F.linear(self.twice(self.twice(tokens)), weight=self.borrowed.weight)


def test_repeated_borrowed_and_idle_layers_by_hand():
    macs = {cost.name: cost.macs for cost in layer_costs(Tokens(), 4)}
    assert macs == {
        "patches.weight": 4 * 5 * 3 * 4,
        "twice.weight": 2 * 4 * 25,
        "borrowed.weight": 4 * 35,
        "idle.weight": 0,
    }


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(3, 1, batch_first=True)

    def forward(self, images):
        tokens = images.flatten(2).transpose(1, 2)
        return self.attention(tokens, tokens, tokens, need_weights=False)[0]


def test_attention_counts_its_projections_by_hand():
    tokens = 2 * 2
    assert layer_costs(Attention(), 2) == [
        LayerCost("attention.in_proj_weight", "MultiheadAttention", (9, 3), 27, tokens * 27),
        LayerCost("attention.out_proj.weight", "Linear", (3, 3), 9, tokens * 9),
    ]


@pytest.mark.parametrize(
    "name",
    one_of_each_kind([*MODELS, "resnext50_32x4d", "mobilenet_v3_small", "densenet121"]),
)
def test_the_sum_is_that_of_pytorchs_counter(name):
    assert sum(cost.macs for cost in layer_costs(build_on_meta(name, 10), 64)) == _macs_of_pytorch(
        name, 64
    )


def test_pytorchs_counter_adds_attentions_own_products():
    attention = 12 * 2 * 50**2 * 768  # layers, scores and mixtures, (49 patches + class)^2, width
    ours = sum(cost.macs for cost in layer_costs(build_on_meta("vit_b_32", 10), 224))
    assert ours + attention == _macs_of_pytorch("vit_b_32", 224)


def _macs_of_pytorch(name, side):
    network = build_on_meta(name, 10).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(1, 3, side, side, device="meta"))
    return counter.get_total_flops() // 2


def test_the_network_is_left_as_it_was():
    convolution = nn.Conv2d(3, 2, 3)
    network = nn.Sequential(
        convolution, nn.BatchNorm2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(8, 2)
    ).train()
    network[2].eval()
    network(torch.rand(3, 3, 4, 4)).sum().backward()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    parameters = dict(network.named_parameters())
    modes = [module.training for module in network.modules()]
    assert convolution.weight.grad is not None
    gradient = convolution.weight.grad.clone()
    generator = torch.get_rng_state()
    layer_costs(network, 4)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(parameter is parameters[name] for name, parameter in network.named_parameters())
    assert [module.training for module in network.modules()] == modes
    assert torch.equal(convolution.weight.grad, gradient)
    assert torch.equal(torch.get_rng_state(), generator)


def test_a_copy_without_weights_keeps_names_shapes_and_sharing():
    network = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3))
    network[2].weight = network[0].weight
    copied = meta_copy(network)
    assert isinstance(copied, nn.Sequential)
    assert all(tensor.is_meta for tensor in copied.state_dict().values())
    assert copied[2].weight is copied[0].weight
    assert [name for name, _ in copied.named_parameters()] == [
        name for name, _ in network.named_parameters()
    ]
    assert copied.state_dict().keys() == network.state_dict().keys()


COSTS = [LayerCost("a", "Conv2d", (2, 1, 2, 2), 8, 800), LayerCost("b", "Linear", (2, 5), 10, 10)]


@pytest.mark.parametrize(
    ("kept", "macs"),
    [
        ({}, 810),
        ({"a": 8, "b": 10}, 810),
        ({"a": 2}, 210),
        ({"a": 3, "b": 0}, 300),
        ({"a": 0, "b": 0}, 0),
    ],
)
def test_remaining_multiply_adds(kept, macs):
    assert effective_macs(COSTS, kept) == macs


def test_remaining_multiply_adds_of_no_network():
    assert effective_macs([], {}) == 0


def test_file_sizes_by_hand():
    # Half of 8 kept: 8 bits of mask, which take 6. All of 4 kept: no mask. 3 others. 3.38 bytes
    # each. The header has 320 bytes, and 25 for each layer.
    assert estimated_bytes({"a": 4, "b": 4}, {"a": 8, "b": 4}, 3) == SizeEstimate(
        dense=60, packed=round(3.38 * (4 + 4 + 3) + 0.75) + 320 + 2 * 25
    )


def test_a_layer_that_is_not_named_stays_whole():
    assert estimated_bytes({}, {"a": 8}, 2) == SizeEstimate(dense=40, packed=34 + 345)


def test_a_layer_without_weights_needs_no_mask():
    assert estimated_bytes({"a": 0}, {"a": 8}, 0) == SizeEstimate(dense=32, packed=345)


def test_a_mask_costs_three_quarters_of_what_the_choice_of_weights_does():
    """The number of ways to choose k of n, in bits, approaches n H(k / n) from below."""
    n, k = 100_000, 5_000
    choices = (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2) / 8
    mask = estimated_bytes({"a": k}, {"a": n}, 0).packed - 3.38 * k - 345
    assert choices < mask / 0.75 < 1.001 * choices
