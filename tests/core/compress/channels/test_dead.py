"""Dead channels of small networks by hand, and of real ones against the network as it was."""

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from core import models
from core.compress.channels.dead import compare_costs, find_dead_channels, network_cost
from core.compress.channels.plan import ChannelPlan, LayerPlan
from core.compress.channels.remove import build_smaller, remove_channels
from core.forecast.cost import layer_costs
from core.models.parameters import prunable_weights
from tests import toys as common
from tests.core.compress.channels.toys import (
    Concatenated,
    Residual,
    chain,
    collect_statistics_,
    conv,
    cut_channels_,
    cut_weights_,
    used_network,
)

NETWORKS = (
    *("VGG16", "LeNet5", "ResNet20", "ResNet34", "ResNet50", "resnet18", "mobilenet_v2"),
    *("densenet121", "squeezenet1_0", "googlenet", "efficientnet_b0", "shufflenet_v2_x0_5"),
)
QUICK = ("VGG16", "LeNet5", "ResNet20", "mobilenet_v2")
SIDE = 32


def kept_outputs(plan, name):
    return plan.layers[name].outputs


@torch.no_grad()
def largest_difference(network, smaller, side, count=2):
    """How far the outputs are apart on random images, and how much they vary among the images."""
    images, _ = common.batch(count, side, seed=5)
    images = images.to(next(network.parameters()).dtype)
    expected = network(images)
    found = smaller(images)
    return (found - expected).abs().max().item(), expected.std(0).max().item()


def flops(network, side):
    images, _ = common.batch(1, side)
    images = images.to(next(network.parameters()).dtype)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(images)
    return counter.get_total_flops()


def test_a_channel_without_inputs_leaves_and_its_constant_goes_into_the_next_bias():
    """Channel 1 has no weights, so it is its bias 3 everywhere; the reader multiplies it by 2."""
    network = chain(conv(3, 2), nn.ReLU(), conv(2, 1), nn.Flatten())
    with torch.no_grad():
        network[0].weight[1] = 0.0
        network[0].bias[1] = 3.0
        network[2].weight[0, 1] = 2.0
    plan = find_dead_channels(network, 2)
    assert plan.layers == {
        "0": LayerPlan(inputs=(0, 1, 2), outputs=(0,), of_inputs=3, of_outputs=2),
        "2": LayerPlan(inputs=(0,), outputs=(0,), of_inputs=2, of_outputs=1, constants={1: 3.0}),
    }
    smaller: Any = remove_channels(network, plan)
    assert smaller[2].bias.tolist() == [6.0]
    assert largest_difference(network, smaller, 2)[0] < 1e-6


def test_a_negative_constant_is_zero_after_relu_and_leaves_in_front_of_padding():
    network = chain(conv(3, 2), nn.ReLU(), conv(2, 1, 3, padding=1), nn.Flatten())
    with torch.no_grad():
        network[0].weight[1] = 0.0
        network[0].bias[1] = -3.0
    plan = find_dead_channels(network, 2)
    assert kept_outputs(plan, "0") == (0,)
    assert plan.layers["2"].constants == {}
    assert largest_difference(network, remove_channels(network, plan), 2)[0] < 1e-6


def test_one_constant_stays_in_front_of_padding_and_stands_for_all():
    """Channels 1 and 2 are 2 and 4 everywhere. Zeros around the image cut a constant off, so the
    larger one stays, with the weights 1 + 2/4 = 1.5."""
    network = chain(conv(3, 3), nn.ReLU(), conv(3, 1, 3, padding=1), nn.Flatten())
    with torch.no_grad():
        network[0].weight[1:] = 0.0
        network[0].bias[1:] = torch.tensor([2.0, 4.0])
    plan = find_dead_channels(network, 2)
    assert kept_outputs(plan, "0") == (0, 2)
    assert plan.layers["2"].into == 2
    assert plan.layers["2"].constants == {1: 2.0, 2: 4.0}
    smaller: Any = remove_channels(network, plan)
    assert smaller[2].weight[0, 1].unique().tolist() == [1.5]
    assert largest_difference(network, smaller, 2)[0] < 1e-5


def test_a_constant_follows_batchnorm_and_needs_no_bias_before():
    """(0 - 1) / sqrt(4) * 3 + 5 = 3.5 reaches the reader, which gets a bias for it."""
    network = chain(
        conv(3, 2, bias=False), nn.BatchNorm2d(2, eps=0), nn.ReLU(), conv(2, 1, bias=False)
    ).eval()
    with torch.no_grad():
        network[0].weight[1] = 0.0
        network[1].running_mean[1] = 1.0
        network[1].running_var[1] = 4.0
        network[1].weight[1] = 3.0
        network[1].bias[1] = 5.0
    smaller: Any = remove_channels(network, find_dead_channels(network, 2))
    assert smaller[1].num_features == 1
    assert smaller[3].bias.tolist() == [3.5]
    assert largest_difference(network, smaller, 2)[0] < 1e-6


def test_what_only_a_dead_channel_needs_leaves_with_it():
    network = chain(conv(3, 2), conv(2, 2), conv(2, 2), nn.Flatten())
    with torch.no_grad():
        network[0].weight[:] = torch.rand(2, 3, 1, 1)
        network[1].weight[:] = torch.eye(2)[:, :, None, None]
        network[2].weight[:, 1] = 0.0  # nothing reads channel 1 of the second layer
    plan = find_dead_channels(network, 2)
    assert kept_outputs(plan, "1") == (0,)
    assert kept_outputs(plan, "0") == (0,)


def test_a_residual_channel_stays_while_one_of_its_parts_is_read():
    network: Any = Residual()
    with torch.no_grad():
        network.branch.weight[0] = 0.0  # the stem still makes channel 0
        network.branch.weight[1] = torch.tensor([1.0, 0.0])[:, None, None]
    assert find_dead_channels(network, 2) == ChannelPlan()
    with torch.no_grad():
        network.reader.weight[:, 1] = 0.0  # nothing reads channel 1 of the sum
    plan = find_dead_channels(network, 2)
    assert kept_outputs(plan, "stem") == (0,)
    assert kept_outputs(plan, "branch") == (0,)
    assert largest_difference(network, remove_channels(network, plan), 2)[0] < 1e-6


def test_concatenation_and_flattening_keep_the_positions_together():
    """Channel 0 on the right is the third of four: positions 8 to 11 of the linear layer."""
    network: Any = Concatenated()
    with torch.no_grad():
        network.right.weight[0] = 0.0
        network.right.bias[0] = 1.0
        network.left.weight[:] = torch.rand(2, 3, 1, 1)
    plan = find_dead_channels(network, 2)
    assert kept_outputs(plan, "right") == (1,)
    assert plan.layers["reader"].inputs == (*range(8), *range(12, 16))
    assert plan.layers["reader"].constants == dict.fromkeys(range(8, 12), 1.0)
    assert largest_difference(network, remove_channels(network, plan), 2)[0] < 1e-6


def test_a_layer_that_keeps_nothing_keeps_one_channel():
    network = chain(conv(3, 4), nn.ReLU(), conv(4, 2), nn.Flatten())
    nn.init.zeros_(network[0].weight)
    plan = find_dead_channels(network, 2)
    assert len(kept_outputs(plan, "0")) == 1
    assert largest_difference(network, remove_channels(network, plan), 2)[0] < 1e-6


def test_a_dense_network_stays_and_so_does_one_that_is_not_understood():
    assert find_dead_channels(common.Flat(), 8) == ChannelPlan()

    class Shuffled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = conv(3, 4)
            self.last = conv(4, 2)

        def forward(self, images):
            return self.last(self.first(images).flip(1)).mean((2, 3))

    network: Any = Shuffled()
    nn.init.zeros_(network.first.weight)
    assert find_dead_channels(network, 4) == ChannelPlan()


def test_a_layer_that_runs_twice_stays():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = conv(3, 3)

        def forward(self, images):
            return self.layer(torch.relu(self.layer(images))).mean((2, 3))

    network: Any = Twice()
    with torch.no_grad():
        network.layer.weight[1] = 0.0
    assert find_dead_channels(network, 4) == ChannelPlan()


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS],
)
def test_real_networks_become_smaller_and_answer_the_same(name):
    network = used_network(name, seed=len(name))
    cut_channels_(network, 0.2)
    collect_statistics_(network, SIDE)
    plan = find_dead_channels(network, SIDE)
    smaller = remove_channels(network, plan)
    difference, spread = largest_difference(network, smaller, SIDE)
    assert difference < 1e-9 * max(1, spread)
    assert spread > 1e-4, "the outputs must depend on the image for this to test anything"
    report = compare_costs(network, smaller, SIDE)
    assert report.macs_left < 0.9
    costs = layer_costs(models.build_on_meta(name, 10), SIDE)
    assert report.before.macs == sum(cost.macs for cost in costs)
    assert 2 * report.after.macs == flops(smaller, SIDE)
    left = sum(weight.numel() for weight in prunable_weights(smaller).values())
    assert report.after.weights == left
    assert find_dead_channels(smaller, SIDE) == ChannelPlan()  # there is nothing left to find
    saved = ChannelPlan.model_validate_json(plan.model_dump_json())
    assert saved == plan
    rebuilt = build_smaller(name, 10, saved, smaller.state_dict())
    assert largest_difference(smaller, rebuilt, SIDE)[0] == 0.0


def test_neither_finding_nor_removing_changes_the_network():
    network = used_network("ResNet20", 0)
    cut_channels_(network, 0.3)
    before = copy.deepcopy(network.state_dict())
    remove_channels(network.train(), find_dead_channels(network, 32))
    assert network.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("density", [0.001, 0.003, 0.01, 0.03, 0.1])
@pytest.mark.parametrize("name", ["LeNet5", "ResNet20"])
def test_random_masks_at_all_densities(name, density):
    for seed in range(2):
        network = used_network(name, seed)
        cut_weights_(network, density)
        collect_statistics_(network, 32)
        smaller = remove_channels(network, find_dead_channels(network, 32))
        assert largest_difference(network, smaller, 32)[0] < 1e-6
        assert 2 * network_cost(smaller, 32).macs == flops(smaller, 32)


def test_channels_before_and_after_are_reported():
    network: Any = Residual()
    with torch.no_grad():
        network.branch.weight[:] = torch.eye(2)[:, :, None, None]
        network.reader.weight[:, 1] = 0.0
    smaller = remove_channels(network, find_dead_channels(network, 2))
    report = compare_costs(network, smaller, 2)
    assert report.kept_channels() == {"stem": (1, 2), "branch": (1, 2), "reader": (1, 1)}
    assert report.before.macs == 4 * (6 + 4 + 2)  # at 2 x 2 positions
    assert report.after.macs == 4 * (3 + 1 + 1)
    assert report.macs_left == 20 / 48


def test_channels_may_leave_the_input_of_an_option_a_shortcut_and_stay_behind_it():
    """The first shortcut of ResNet20 adds 8 channels of zeros on both sides of 16."""
    network: Any = models.build("ResNet20", 10).eval()
    with torch.no_grad():
        for name, weight in prunable_weights(network).items():
            if name.startswith("layer1") and "conv1" in name:
                weight[:, 3] = 0.0  # nothing in the first stage reads channel 3
        network.conv1.weight[3] = 0.0
        for block in network.layer1:
            block.conv2.weight[3] = 0.0
        network.layer2[0].conv1.weight[:, 3] = 0.0
    plan = find_dead_channels(network, 32)
    others = (*range(3), *range(4, 16))
    assert kept_outputs(plan, "conv1") == others
    assert plan.layers["layer2.0.downsample"].inputs == others
    assert plan.layers["layer2.0.downsample"].outputs == tuple(range(32))
    assert largest_difference(network, remove_channels(network, plan), 32)[0] < 1e-5
