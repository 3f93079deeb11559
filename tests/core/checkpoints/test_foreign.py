"""Checkpoints of other repositories compute the same here, or are refused in one sentence."""

import io
import random

import pytest
import torch
from safetensors.torch import save as safe
from torch import nn
from torch.nn.utils import prune

from core.checkpoints.isolated import read_isolated
from core.checkpoints.matching import compare_tensors, match_tensors
from core.checkpoints.reader import match_recipe, read_checkpoint
from core.checkpoints.recognition import RecognisedNetwork, describe_unrecognised, recognise
from core.config import ImportRecipe
from core.errors import UserError
from core.events import result_of
from tests.core.checkpoints import foreign

NARROW = ((3, 3, 3), (16, 32, 64))
WIDE = ((2, 2, 2, 2), (64, 128, 256, 512))

LAYOUTS = {
    "kuangliu ResNet18": (lambda: foreign.ResNet(*WIDE, "shortcut", "linear"), "ResNet18"),
    "kuangliu VGG16": (lambda: foreign.VGG(nn.Linear(512, 10)), "VGG16BN"),
    "kuangliu MobileNetV2": (foreign.MobileNetV2, "MobileNetV2"),
    "chenyaofo resnet20": (lambda: foreign.ResNet(*NARROW, "downsample", "fc"), "ResNet20B"),
    "chenyaofo vgg16_bn": (lambda: foreign.VGG(foreign.chenyaofo_classifier()), "VGG16BN3"),
    "chengyangfu vgg16_bn": (lambda: foreign.VGG(foreign.chengyangfu_classifier()), "VGG16BN3"),
    "weiaicunzai resnet18": (foreign.Weiaicunzai, "ResNet18"),
    "open_lth resnet_20": (foreign.LotteryResNet, "ResNet20B"),
    "SynFlow vgg16-bn": (foreign.SynFlowVGG16, "VGG16LTH"),
    "xternalz WRN-28-2": (lambda: foreign.WideResNet(2), "WRN28x2"),
}
BY_NAME = {
    "kuangliu ResNet18",
    "kuangliu VGG16",
    "kuangliu MobileNetV2",
    "chenyaofo resnet20",
    "chenyaofo vgg16_bn",
    "SynFlow vgg16-bn",
    "xternalz WRN-28-2",
}


def saved_as(content):
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def prefixed(state, prefix):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


@torch.no_grad()
def assert_computes_the_same(network, content, model, by_order=None):
    """Import the bytes of a file, and compare the outputs of the result with the network's."""
    checkpoint = read_checkpoint(content, "net.pth")
    (candidate,) = recognise(checkpoint.state)
    assert (candidate.model, candidate.num_classes) == (model, 10)
    if by_order is not None:
        assert candidate.by_order is by_order
    matching = match_tensors(checkpoint.state, model, 10, candidate.by_order)
    images = torch.randn(2, 3, 32, 32)
    expected = network(images)
    outputs = matching.network(checkpoint.state)(images)
    assert torch.allclose(outputs, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    return checkpoint


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "write",
    [
        pytest.param(saved_as, id="torch"),
        pytest.param(safe, id="safetensors", marks=pytest.mark.slow),
    ],
)
def test_the_import_computes_what_the_original_computes(layout, write):
    make, model = LAYOUTS[layout]
    network = foreign.randomised(make())
    content = write(network.state_dict())
    assert_computes_the_same(network, content, model, by_order=layout not in BY_NAME)


@pytest.fixture(scope="module")
def resnet():
    """chenyaofo's resnet20."""
    return foreign.randomised(foreign.ResNet(*NARROW, "downsample", "fc"))


WRAPPINGS = {
    "kuangliu": lambda state: {"net": prefixed(state, "module."), "acc": 95.1, "epoch": 199},
    "compiled": lambda state: prefixed(state, "_orig_mod."),
    "compiled inside": lambda state: prefixed(state, "module._orig_mod."),
    "Lightning": lambda state: {"state_dict": prefixed(state, "net."), "optimizer_states": [{}]},
    "averaged model": lambda state: {
        "n_averaged": torch.tensor(7),
        **prefixed(state, "module."),
    },
    "only averaged": lambda state: {"ema": state, "epoch": 3},
    "timm": lambda state: {
        "state_dict": state,
        "state_dict_ema": {name: tensor * 2 for name, tensor in state.items()},
    },
    "both in one": lambda state: (
        prefixed(state, "model.")
        | prefixed({name: tensor * 2 for name, tensor in state.items()}, "ema_model.module.")
    ),
    "backbone": lambda state: prefixed(state, "backbone."),
    "a word of one's own": lambda state: prefixed(state, "my_encoder."),
    "without counters": lambda state: {
        name: tensor for name, tensor in state.items() if "num_batches" not in name
    },
    "with the optimizer": lambda state: {
        "model": state,
        "optimizer": {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": []},
        "scheduler": {"last_epoch": 3},
    },
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_wrappings_of_training_programs(wrapping, resnet):
    content = saved_as(WRAPPINGS[wrapping](resnet.state_dict()))
    assert_computes_the_same(resnet, content, "ResNet20B", by_order=False)


@pytest.mark.parametrize("wrapping", ["timm", "both in one"])
def test_averages_that_are_left_out_are_told(wrapping, resnet):
    checkpoint = read_checkpoint(saved_as(WRAPPINGS[wrapping](resnet.state_dict())))
    assert any("averaged weights" in note for note in checkpoint.notes)


def test_the_isolated_reader_reads_the_same(resnet):
    content = saved_as(WRAPPINGS["kuangliu"](resnet.state_dict()))
    checkpoint = result_of(read_isolated(content, "ckpt.pth"))
    assert recognise(checkpoint.state) == [RecognisedNetwork("ResNet20B", 10, by_order=False)]


def test_masks_of_pytorch_are_multiplied_in():
    network = foreign.randomised(foreign.ResNet(*NARROW, "downsample", "fc"))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            prune.random_unstructured(module, "weight", 0.4)
    checkpoint = assert_computes_the_same(network, saved_as(network.state_dict()), "ResNet20B")
    assert "21 pruning masks were multiplied" in " ".join(checkpoint.notes)
    assert any((tensor == 0).float().mean() > 0.3 for tensor in checkpoint.state.values())


# -- equal shapes --


def test_a_shortcut_that_is_listed_first_is_still_the_shortcut():
    """Its BatchNorm has the shapes of the two others in its block."""
    network = foreign.ResNet(*NARROW, "projection_path", "top", foreign.ShortcutFirst)
    names = list(network.state_dict())
    shortcut = names.index("layer2.0.projection_path.0.weight")
    assert shortcut < names.index("layer2.0.conv1.weight")
    network = foreign.randomised(network)
    assert_computes_the_same(network, saved_as(network.state_dict()), "ResNet20B", by_order=True)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("layout", ["chenyaofo resnet20", "open_lth resnet_20"])
def test_shuffled_tensors_are_found_by_the_numbers_in_their_names(layout, seed):
    make, model = LAYOUTS[layout]
    network = foreign.randomised(make())
    entries = list(network.state_dict().items())
    random.Random(seed).shuffle(entries)
    assert_computes_the_same(network, saved_as(dict(entries)), model)


def without_numbers(state):
    """Names that say nothing: letters in the order of a hash, the roles kept."""
    layers = {name.rpartition(".")[0] for name in state}
    letters = random.Random(1).sample(range(1000), len(layers))
    names = {
        layer: "".join(chr(ord("a") + int(digit)) for digit in f"{number:03d}")
        for layer, number in zip(sorted(layers), letters, strict=True)
    }
    return {
        f"{names[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": tensor
        for name, tensor in state.items()
    }


def test_names_that_say_nothing_go_by_the_order_of_the_layers(resnet):
    state = without_numbers(resnet.state_dict())
    assert_computes_the_same(resnet, saved_as(state), "ResNet20B", by_order=True)


@pytest.mark.parametrize("seed", range(4))
def test_shuffled_tensors_whose_names_say_nothing_are_ambiguous(resnet, seed):
    entries = list(without_numbers(resnet.state_dict()).items())
    random.Random(seed).shuffle(entries)
    state = dict(entries)
    assert recognise(state) == []
    text = describe_unrecognised(state, "x.pt")
    assert "x.pt has the tensors of ResNet20B for 10 classes, but its " in text
    assert "neither names nor order tell which is which" in text
    with pytest.raises(UserError, match="neither names nor order"):
        match_tensors(state, "ResNet20B", 10, by_order=True)


def test_sorted_names_that_say_nothing_are_ambiguous(resnet):
    state = dict(sorted(without_numbers(resnet.state_dict()).items()))
    assert not compare_tensors(state, "ResNet20B", 10, by_order=True).fits


def test_names_with_numbers_win_over_the_order():
    """conv2 and bn2 stand before conv1 and bn1 in the file."""
    network = foreign.randomised(foreign.LotteryResNet())
    state = network.state_dict()
    backwards = dict(sorted(state.items(), key=lambda item: item[0], reverse=True))
    assert_computes_the_same(network, saved_as(backwards), "ResNet20B", by_order=True)


# -- wrong networks --


def recipe(model, by_order=False):
    return ImportRecipe(
        file="x.pt",
        model=model,
        dataset="CIFAR10",
        mean=(0.5, 0.5, 0.5),
        std=(1, 1, 1),
        by_order=by_order,
    )


@pytest.mark.parametrize("by_order", [False, True])
def test_the_other_kind_of_shortcut_is_refused_and_the_right_one_named(resnet, by_order):
    checkpoint = read_checkpoint(saved_as(resnet.state_dict()))
    with pytest.raises(UserError) as caught:
        match_recipe(checkpoint, recipe("ResNet20", by_order), 10)
    text = str(caught.value)
    assert text.startswith("x.pt is no ResNet20 for 10 classes: ")
    assert "layer2.0.downsample.0.weight" in text or "not " in text
    assert text.endswith(" It fits ResNet20B.")


def test_a_stranger_is_answered_with_the_nearest_and_the_first_difference():
    """weiaicunzai's linear layers of VGG have 4,096 outputs; no network here has such ones."""
    classifier = nn.Linear(512, 10)
    state = foreign.VGG(classifier, bias=False).state_dict()
    assert recognise(state) == []
    text = describe_unrecognised(state, "x.pt")
    assert text.startswith("x.pt fits none of the ")
    assert "The nearest: " in text
    assert "VGG16BN, but it has no features.0.bias (and 12 more)" in text
    assert text.endswith(".")
    assert "\n" not in text


def test_layouts_that_fit_both_by_structure_are_both_offered():
    """Max-pool or average: no tensor tells."""
    network = foreign.VGG(nn.Linear(512, 10))
    state = {
        name.replace("features", "body").replace("classifier", "top"): tensor
        for name, tensor in network.state_dict().items()
    }
    assert {candidate.model for candidate in recognise(state)} == {"VGG16BN", "VGG16LTH"}
