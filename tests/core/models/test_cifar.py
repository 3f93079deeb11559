"""The networks in the layouts of other repositories: their size, and all that is done with them."""

import pytest
import torch
from torch.nn import functional as F

from core.compress.channels.dead import find_dead_channels
from core.compress.channels.remove import build_smaller, remove_channels
from core.compress.masks import apply_, keep_top
from core.deploy.onnx.check import check_against_torch
from core.deploy.onnx.engine import OnnxEngine
from core.deploy.onnx.export import export_onnx
from core.deploy.onnx.int8 import quantize_int8
from core.models import MODELS, build, build_on_meta
from core.models.card import ModelCard
from core.models.cifar.facts import CIFAR
from core.models.networks import BUILDERS
from core.models.parameters import prunable_weights
from tests import toys
from tests.core.compress.channels.toys import collect_statistics_, cut_channels_, used_network

SMALLEST = ("ResNet20B", "ResNet8", "VGG11BN", "VGG11BN3", "VGG11LTH", "WRN28x2", "MobileNetV2")
"""One network of each kind; ResNet18 differs from torchvision's in its first layer only."""

LIKE_VGG11BN = ("VGG11BN3", "VGG11LTH")
"""Only what comes after its convolutions differs."""

PUBLISHED = {
    # The paper's table 6 rounds them: 0.27M, 0.46M, 0.66M, 0.85M and 1.7M (arXiv:1512.03385).
    # Option B adds 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64 = 2,752.
    "ResNet110": 1_727_962,  # akamaster/pytorch_resnet_cifar10: 1.7M
    "ResNet20B": 269_722 + 2_752,  # chenyaofo/pytorch-cifar-models: 0.27M
    "ResNet32B": 464_154 + 2_752,  # 0.47M
    "ResNet44B": 658_586 + 2_752,  # 0.66M
    "ResNet56B": 853_018 + 2_752,  # 0.86M
    "ResNet110B": 1_727_962 + 2_752,
    "ResNet18": 11_173_962,  # kuangliu/pytorch-cifar
    # The training log of mlcommons/tiny: 78,666, of which 480 are BatchNorm's statistics.
    "ResNet8": 78_666 - 480,
    "VGG11BN": 9_231_114,  # kuangliu/pytorch-cifar
    "VGG13BN": 9_416_010,
    "VGG16BN": 14_728_266,
    "VGG19BN": 20_040_522,
    # Two more linear layers of 512 * 512 + 512; chenyaofo: 9.76M, 9.94M, 15.25M, 20.57M
    "VGG11BN3": 9_231_114 + 525_312,
    "VGG13BN3": 9_416_010 + 525_312,
    "VGG16BN3": 14_728_266 + 525_312,
    "VGG19BN3": 20_040_522 + 525_312,
    # A pool has no parameters.
    "VGG11LTH": 9_231_114,
    "VGG13LTH": 9_416_010,
    "VGG16LTH": 14_728_266,
    "VGG19LTH": 20_040_522,
    # The paper's tables round them: WRN-28-10 36.5M (arXiv:1605.07146).
    "WRN28x2": 1_467_610,
    "WRN28x4": 5_849_050,
    "WRN28x10": 36_479_194,
    "MobileNetV2": 2_296_922,  # kuangliu/pytorch-cifar
}


def card(name, side=32):
    classes = tuple("0123456789")
    return ModelCard(model=name, classes=classes, mean=(0, 0, 0), std=(1, 1, 1), side=side)


def test_the_registry_and_its_builders_have_the_same_names():
    assert set(BUILDERS) == set(MODELS)
    assert set(PUBLISHED) == set(CIFAR)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_parameters_are_those_that_were_published(name):
    network = build_on_meta(name, 10)
    assert sum(parameter.numel() for parameter in network.parameters()) == PUBLISHED[name]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in LIKE_VGG11BN else name
        for name in SMALLEST
    ],
)
def test_a_pruned_network_learns_and_stays_pruned(name):
    torch.manual_seed(0)
    network = build(name, 10).train()
    scores = {key: weight.detach().abs() for key, weight in prunable_weights(network).items()}
    masks = keep_top(scores, 0.3, layerwise=True)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    apply_(network, masks, optimizer)
    images, labels = toys.batch(8, 32)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(images), labels % 10)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    for key, weight in prunable_weights(network).items():
        assert not weight[~masks[key]].any(), key


@pytest.mark.parametrize("name", SMALLEST)
@torch.no_grad()
def test_dead_channels_leave_without_changing_an_answer(name):
    network = used_network(name, seed=len(name))
    cut_channels_(network, 0.2)
    collect_statistics_(network, 32)
    plan = find_dead_channels(network, 32)
    smaller = remove_channels(network, plan)
    images = toys.batch(2, 32, seed=5)[0].double()
    expected = network(images)
    assert (smaller(images) - expected).abs().max() < 1e-9 * max(1, expected.abs().max())
    assert expected.std(0).max() > 1e-4
    assert _weights(smaller) < 0.9 * _weights(network)
    rebuilt = build_smaller(name, 10, plan, smaller.state_dict())
    assert torch.equal(rebuilt(images), smaller(images))


def _weights(network):
    return sum(weight.numel() for weight in prunable_weights(network).values())


@pytest.mark.parametrize("name", ["ResNet8", pytest.param("VGG11BN3", marks=pytest.mark.slow)])
def test_files_for_other_programs_answer_the_same(name):
    network = used_network(name, seed=1)
    collect_statistics_(network, 16)
    network = network.float()
    images, _ = toys.batch(4, 16)
    exported = export_onnx(network, card(name, 16))
    assert check_against_torch(OnnxEngine(exported), network, images) < 1e-3
    integers = OnnxEngine(quantize_int8(exported, [images.numpy()]))
    with torch.no_grad():
        expected = network(images)
    difference = torch.from_numpy(integers.run(images.numpy())) - expected
    assert difference.abs().mean() < 0.5 * expected.abs().mean()
