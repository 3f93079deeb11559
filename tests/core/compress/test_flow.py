"""Live weights, on networks whose paths a reader can follow."""

import pytest
import torch
from torch import Tensor, nn

from core import models
from core.compress import masks as masking
from core.compress.pruning.flow import live_weights
from core.models.parameters import prunable_weights
from tests import toys


def kept_everywhere(model):
    weights = prunable_weights(model)
    return {name: torch.ones(weight.shape, dtype=torch.bool) for name, weight in weights.items()}


def live_after_cutting(model, *cuts, side=4):
    """Which weights are live if all are kept but those at (name, index)."""
    masks = kept_everywhere(model)
    for name, index in cuts:
        masks[name][index] = False
    live = live_weights(model, masks, side)
    assert all(not live[name][~mask].any() for name, mask in masks.items())
    return live


def outputs_of(live):
    """The output channels of each layer that have a live weight."""
    return {name: mask.flatten(1).any(1).tolist() for name, mask in live.items()}


def chain(*between: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 2, 3, padding=1), *between, nn.Flatten(), nn.Linear(2 * 16, 2)
    )


def test_a_dense_network_is_alive():
    assert all(mask.all() for mask in live_weights(toys.Flat(), {}, 8).values())


def test_nothing_is_alive_behind_or_before_a_layer_that_keeps_nothing():
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 1), nn.Flatten(), nn.Linear(32, 2))
    live = live_after_cutting(model, ("1.weight", ...))
    assert not any(mask.any() for mask in live.values())


def test_a_path_can_be_cut_although_no_layer_is_empty():
    """The first layer makes channel 0 only, the second layer reads channel 1 only."""
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 1), nn.Flatten(), nn.Linear(32, 2))
    live = live_after_cutting(
        model, ("0.weight", (slice(1, 2),)), ("1.weight", (slice(None), slice(0, 1)))
    )
    assert not any(mask.any() for mask in live.values())


@pytest.mark.parametrize("between", [nn.ReLU(), nn.ReLU6(), nn.SiLU(), nn.GELU(), nn.Hardswish()])
def test_an_output_without_a_consumer_is_dead(between):
    model = chain(between)
    cut = ("3.weight", (slice(None), slice(0, 16)))  # all that reads channel 0
    assert outputs_of(live_after_cutting(model, cut))["0.weight"] == [False, True]


def test_batchnorms_bias_brings_nothing_from_the_image():
    batchnorm = nn.BatchNorm2d(2)
    model = chain(batchnorm, nn.ReLU())
    nn.init.ones_(batchnorm.bias)
    live = live_after_cutting(model, ("0.weight", (slice(0, 1),)))
    assert outputs_of(live)["0.weight"] == [False, True]
    assert not live["4.weight"][:, :16].any()
    assert live["4.weight"][:, 16:].all()


class Branches(nn.Module):
    """Two convolutions of one channel each on one image, added or concatenated, and one reader."""

    def __init__(self, joined: str) -> None:
        super().__init__()
        self.joined = joined
        self.left = nn.Conv2d(3, 1, 1)
        self.right = nn.Conv2d(3, 1, 1)
        self.head = nn.Linear(1 if joined == "added" else 2, 2)

    def forward(self, images: Tensor) -> Tensor:
        left, right = self.left(images), self.right(images)
        joined = left + right if self.joined == "added" else torch.cat([left, right], 1)
        logits: Tensor = self.head(joined.mean((2, 3)))
        return logits


def test_an_addition_is_alive_as_long_as_one_side_is():
    live = live_after_cutting(Branches("added"), ("left.weight", ...))
    assert outputs_of(live) == {
        "left.weight": [False],
        "right.weight": [True],
        "head.weight": [True, True],
    }
    live = live_after_cutting(Branches("added"), ("left.weight", ...), ("right.weight", ...))
    assert not live["head.weight"].any()


def test_a_concatenation_keeps_its_parts_apart():
    live = live_after_cutting(Branches("concatenated"), ("left.weight", ...))
    assert live["head.weight"].tolist() == [[False, True], [False, True]]
    live = live_after_cutting(Branches("concatenated"), ("head.weight", (slice(None), slice(1, 2))))
    assert outputs_of(live)["right.weight"] == [False]
    assert outputs_of(live)["left.weight"] == [True]


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.AvgPool2d(2), nn.MaxPool2d(3, 2, 1)])
def test_a_pool_lets_every_position_through(pool):
    model = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), pool, nn.Flatten(), nn.Linear(8, 2))
    assert all(mask.all() for mask in live_weights(model, {}, 4).values())


def test_a_depthwise_convolution_keeps_its_channels_apart():
    model = nn.Sequential(
        nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 3, padding=1, groups=2), nn.Flatten(), nn.Linear(32, 2)
    )
    live = live_after_cutting(model, ("0.weight", (slice(1, 2),)))
    assert outputs_of(live)["1.weight"] == [True, False]
    assert live["3.weight"].any(0).tolist() == [True] * 16 + [False] * 16


def test_taps_that_only_see_padding_are_dead():
    model = nn.Sequential(nn.Conv2d(3, 1, 3, padding=1), nn.Flatten(), nn.Linear(1, 2))
    live = live_weights(model, {}, 1)["0.weight"]
    assert live.sum() == 3
    assert live[0, :, 1, 1].all()


def test_the_model_is_left_as_it_was():
    model = toys.Flat(dropout=0.5)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    live_weights(model, {}, 8)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("VGG16", 32),
        ("ResNet56", 32),
        ("mobilenet_v3_small", 32),
        ("shufflenet_v2_x0_5", 32),
        ("efficientnet_b0", 32),
        ("squeezenet1_1", 64),
    ],
)
def test_all_of_a_dense_network_can_matter(name, side):
    live = live_weights(models.build(name, 10), {}, side)
    for mask in live.values():
        kernels = mask.flatten(2).any(2) if mask.ndim == 4 else mask
        assert kernels.all()  # a tap may see padding only


@pytest.mark.parametrize("density", [0.3, 0.02])
def test_live_weights_are_those_that_change_the_outputs(density):
    """An oracle: in a network without negative numbers, a change of a live weight shows."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, padding=1, bias=False),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24, 3, bias=False),
    ).double()
    scores = {name: torch.rand(weight.shape) for name, weight in prunable_weights(model).items()}
    masks = masking.keep_top(scores, density)
    live = live_weights(model, masks, 4)
    with torch.no_grad():
        for name, weight in prunable_weights(model).items():
            weight.copy_(weight.abs() * masks[name])
        image = torch.rand(1, 3, 4, 4, dtype=torch.float64) + 1
        outputs = model(image)
        for name, weight in prunable_weights(model).items():
            for index in masks[name].nonzero():
                place = tuple(index.tolist())
                old = weight[place].item()
                weight[place] = 2 * old
                changed = not torch.equal(model(image), outputs)
                weight[place] = old
                assert changed == bool(live[name][place]), (name, place)
