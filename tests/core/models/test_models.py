"""The registry's facts agree with the networks, and the networks with their papers."""

import math
import subprocess
import sys

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from core.errors import UserError
from core.forecast.cost import layer_costs
from core.models import MODELS, TORCHVISION, build, build_on_meta, check_side, model_info
from core.models.networks import PaddedShortcut
from core.models.parameters import prunable_weights
from tests.networks import FAMILIES, one_of_each_kind

INSTALLED = torchvision.models.list_models(module=torchvision.models)
LEFT_OUT: dict[str, str] = {}  # a network of torchvision -> why the table cannot have it
WITH_ATTENTION = ("vit_", "swin_", "maxvit_")


def test_the_registry_imports_without_torch():
    program = (
        "import sys, core.models; core.models.model_info('VGG16'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_originals_networks_come_first():
    assert list(MODELS)[:3] == ["VGG16", "ResNet34", "ResNet50"]


@pytest.mark.parametrize("name", MODELS | TORCHVISION)
def test_entries_are_well_formed(name):
    info = model_info(name)
    assert info.name == name
    assert info.description.endswith(".")
    assert "\n" not in info.description
    assert 1 <= info.min_side <= info.side
    assert info.fixed_side is (info.min_side == info.side)
    check_side(name, info.side)


@pytest.mark.parametrize(
    "name", one_of_each_kind([*MODELS, *(name for name in TORCHVISION if name in INSTALLED)])
)
def test_facts_are_those_of_the_network(name):
    info, generator = model_info(name), torch.get_rng_state()
    network = build_on_meta(name, info.classes)
    assert all(tensor.is_meta for tensor in network.state_dict().values())
    assert torch.equal(torch.get_rng_state(), generator)
    assert sum(parameter.numel() for parameter in network.parameters()) == info.parameters
    assert sum(cost.macs for cost in layer_costs(network, info.side)) == info.macs


@pytest.mark.parametrize("name", FAMILIES.values())
@torch.no_grad()
def test_the_smallest_images_become_plain_logits_in_training_mode(name):
    side = model_info(name).min_side
    assert build_on_meta(name, 6).train()(torch.empty(2, 3, side, side, device="meta")).shape == (
        2,
        6,
    )


def test_torchvisions_networks_are_all_there():
    assert set(INSTALLED) - set(TORCHVISION) == set(LEFT_OUT)


@pytest.mark.parametrize("name", [name for name in TORCHVISION if name in INSTALLED])
def test_torchvision_publishes_the_same_figures(name):
    weights = torchvision.models.get_model_weights(name)
    if "IMAGENET1K_V1" not in weights.__members__:
        pytest.skip(
            "torchvision has no weights of this network that were trained on ImageNet alone"
        )
    published, info = weights.IMAGENET1K_V1.meta, TORCHVISION[name]
    auxiliary = 3_326_696 if name == "inception_v3" else 0  # of the output that is left out here
    assert info.parameters + auxiliary == published["num_params"]
    # torchvision also counts the products inside attention
    tolerance = 0.05 if name.startswith(WITH_ATTENTION) else 0.001
    assert info.macs / 1e9 == pytest.approx(published["_ops"], rel=tolerance, abs=0.0006)


@pytest.mark.parametrize("side", [1, 8, 45])
@pytest.mark.parametrize("name", one_of_each_kind(MODELS))
def test_images_of_any_side_give_logits(name, side):
    torch.manual_seed(0)
    with torch.no_grad():
        logits = build(name, 7).train()(torch.rand(2, 3, side, side))
    assert logits.shape == (2, 7)
    assert logits.isfinite().all()
    assert not torch.allclose(logits[0], logits[1])


@pytest.mark.parametrize(
    "name",
    one_of_each_kind([*MODELS, "mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1"]),
)
def test_every_prunable_weight_learns(name):
    torch.manual_seed(0)
    network = build(name, 5)
    F.cross_entropy(network(torch.randn(4, 3, 32, 32)), torch.tensor([0, 1, 2, 3])).backward()
    for weight_name, weight in prunable_weights(network).items():
        assert weight.grad is not None, weight_name
        assert weight.grad.isfinite().all(), weight_name
        assert weight.grad.any(), weight_name


@pytest.mark.parametrize(
    "name", ["VGG16", "LeNet5", "ResNet20", "ResNet34", "regnet_y_400mf", "vit_b_32"]
)
def test_a_skeleton_has_the_names_and_shapes_of_the_network(name):
    shapes = {
        key: (tensor.shape, tensor.dtype) for key, tensor in build(name, 3).state_dict().items()
    }
    assert {
        key: (tensor.shape, tensor.dtype)
        for key, tensor in build_on_meta(name, 3).state_dict().items()
    } == shapes


@pytest.mark.parametrize("name", ["VGG16", "ResNet34", "LeNet5", "ResNet20"])
def test_weights_come_from_the_global_generator(name):
    first, again, other = (_seeded(seed, name) for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert all(
        not torch.equal(first[key], other[key]) for key in prunable_weights(build_on_meta(name, 10))
    )


def _seeded(seed, name):
    torch.manual_seed(seed)
    return build(name, 10).state_dict()


@pytest.mark.parametrize("name", one_of_each_kind(MODELS))
def test_convolutions_keep_the_gradients_variance(name):
    torch.manual_seed(0)
    for module in build(name, 10).modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 2000:
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            assert module.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.1)


def test_vgg16_is_the_snip_papers():
    weights = prunable_weights(build_on_meta("VGG16", 10))
    assert sum(weight.numel() for weight in weights.values()) == 15_239_872
    assert [weight.ndim for weight in weights.values()] == [4] * 13 + [2] * 3
    assert next(iter(weights)) == "features.0.weight"
    assert list(weights)[13] == "classifier.0.weight"
    assert [weights[f"classifier.{i}.weight"].shape for i in (0, 3, 6)] == [
        (512, 512),
        (512, 512),
        (10, 512),
    ]


@pytest.mark.parametrize(
    ("name", "conv1"),
    [("ResNet18", (64, 3, 3, 3)), ("ResNet34", (64, 3, 3, 3)), ("ResNet50", (64, 3, 3, 3))],
)
def test_resnets_for_small_images_differ_from_torchvisions_in_the_stem_only(name, conv1):
    ours = {key: tensor.shape for key, tensor in build_on_meta(name, 10).state_dict().items()}
    theirs = {
        key: tensor.shape for key, tensor in build_on_meta(name.lower(), 10).state_dict().items()
    }
    assert ours == theirs | {"conv1.weight": conv1}
    network = build_on_meta(name, 10)
    sides: list[int] = []
    first_stage = network.get_submodule("layer1")
    first_stage.register_forward_hook(lambda module, args, out: sides.append(out.shape[-1]))
    network(torch.empty(2, 3, 32, 32, device="meta"))
    assert sides == [32]


@pytest.mark.parametrize(
    ("name", "blocks"), [("ResNet20", 3), ("ResNet32", 5), ("ResNet44", 7), ("ResNet56", 9)]
)
def test_cifar_resnets_have_the_usual_parameter_names(name, blocks):
    batch_norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    layers = [("conv1", "bn1")] + [
        (f"layer{stage}.{block}.conv{i}", f"layer{stage}.{block}.bn{i}")
        for stage in (1, 2, 3)
        for block in range(blocks)
        for i in (1, 2)
    ]
    names = [
        name
        for conv, bn in layers
        for name in (f"{conv}.weight", *(f"{bn}.{part}" for part in batch_norm))
    ]
    assert list(build_on_meta(name, 10).state_dict()) == [*names, "linear.weight", "linear.bias"]


def test_padded_shortcut_takes_every_second_pixel_and_adds_empty_channels():
    image = torch.arange(1.0, 10).reshape(1, 1, 3, 3)
    out = PaddedShortcut(2)(image)
    assert torch.equal(
        out, torch.tensor([[[[0.0, 0], [0, 0]], [[1, 3], [7, 9]], [[0, 0], [0, 0]]]])
    )


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("VGG16", 15),
        ("ResNet34", 33),
        ("ResNet50", 49),
        ("LeNet5", 4),
        ("ResNet20", 19),
        ("ResNet56", 55),
        ("ResNet20B", 19),
        ("ResNet8", 7),
        ("VGG16BN", 13),
        ("VGG16BN3", 15),
        ("VGG16LTH", 13),
        ("WRN28x2", 25),
        ("MobileNetV2", 36),
    ],
)
def test_every_relu_is_a_module(name, calls):
    network, seen = build_on_meta(name, 10), []
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda *_: seen.append(1))
    network(torch.empty(2, 3, 32, 32, device="meta"))
    assert len(seen) == calls


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("VGG16", "VGG16"),
        ("vgg16", "vgg16"),
        ("lenet5", "LeNet5"),
        ("RESNET20", "ResNet20"),
        ("ResNet101", "resnet101"),
    ],
)
def test_case_matters_only_between_two_networks(typed, name):
    assert model_info(typed).name == name


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(UserError) as error:
        model_info("ResNet43", field="--model")
    message = str(error.value)
    assert message.startswith("--model must be one of VGG16, ResNet34, ResNet50,")
    assert "'ResNet43'; did you mean " in message
    assert "ResNet44" in message.partition("did you mean")[2]


def test_an_ambiguous_case_names_both():
    with pytest.raises(UserError, match=r"'RESNET50'; did you mean ResNet50 or resnet50\?$"):
        model_info("RESNET50")


@pytest.mark.parametrize("name", ["", "zzz", "fcn_resnet50_", None, "../VGG16"])
def test_nonsense_is_refused(name):
    with pytest.raises(UserError, match="model must be one of"):
        build(name, 10)


def test_a_network_needs_a_class():
    with pytest.raises(UserError, match="num_classes must be at least 1, got 0"):
        build("LeNet5", 0)


@pytest.mark.parametrize(
    ("name", "side", "message"),
    [
        ("densenet121", 28, "densenet121 takes images of at least 29 x 29 pixels, got 28 x 28"),
        ("vit_b_16", 32, "vit_b_16 takes images of exactly 224 x 224 pixels, got 32 x 32"),
        ("vit_b_16", 256, "vit_b_16 takes images of exactly 224 x 224 pixels, got 256 x 256"),
        ("LeNet5", 0, "LeNet5 takes images of at least 1 x 1 pixels, got 0 x 0"),
    ],
)
def test_check_says_what_a_network_takes(name, side, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        check_side(name, side)


@pytest.mark.parametrize(
    "name", ["alexnet", "densenet121", "googlenet", "squeezenet1_0", "swin_t", "vgg11"]
)
def test_one_pixel_less_is_too_small(name):
    side = model_info(name).min_side - 1
    with pytest.raises((RuntimeError, ValueError)):
        build_on_meta(name, 2).eval()(torch.empty(1, 3, side, side, device="meta"))
