"""Every activation once, in order and untouched: against plain hooks, the dispatcher, and sums to
check by hand.
"""

import copy
import threading
import weakref
from collections import Counter
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import _len_torch_function_stack
from torch.utils._python_dispatch import TorchDispatchMode

from core import models
from core.errors import UserError
from core.inspect.activations.captured import capture, capture_with_logits, describe_left_out
from core.inspect.activations.hooks import observe_activations
from core.inspect.activations.kinds import ACTIVATIONS, RELUS
from core.inspect.activations.statistics import measure_channels

SMALLEST = (  # of every torchvision family
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_x_400mf",
    "regnet_y_400mf",
    "resnet18",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "swin_t",
    "swin_v2_t",
    "vgg11_bn",
    "vit_b_32",
    "wide_resnet50_2",
)


def randomised(model):
    """With BatchNorm statistics that are not the ones of the start, so that a lost update would
    show.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return model


def state(model):
    """All that `capture` must leave alone: hooks, modes, buffers, gradients, weights, and the
    identity of tensors.
    """
    return (
        [
            (
                module.training,
                *(list(hooks.items()) for name, hooks in vars(module).items() if "hooks" in name),
            )
            for module in model.modules()
        ],
        [
            (id(tensor), tensor._version, tensor.requires_grad, tensor.grad)
            for tensor in [*model.parameters(), *model.buffers()]
        ],
    )


def images(*rows):
    """One image of one channel."""
    return torch.tensor(rows)[None, None]


class Repeated(nn.Module):
    """One module called twice, in place, and its output spoilt in place each time."""

    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(nn.Identity(), nn.ReLU(inplace=True))

    def forward(self, x):
        x = self.block(x - 1)
        x -= 1
        x = self.block(x)
        return (x.mul_(5)).flatten(1)


class Functions(nn.Module):
    """Every way to call a function, from the network itself and from a module in it."""

    class Inner(nn.Module):
        def forward(self, x):
            x = F.relu(x) - 1
            x = torch.relu(x) - 1
            x = x.relu() - 1
            F.relu(x, inplace=True)
            x -= 1
            x.relu_()
            x -= 1
            torch.relu_(x)
            return x

    def __init__(self):
        super().__init__()
        self.stem = self.Inner()
        self.after = nn.ReLU()

    def forward(self, x):
        x = F.leaky_relu(self.stem(x) - 3, 0.5)
        return self.after(F.relu6(x * 10)).flatten(1)


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.ReLU(inplace=True), nn.Linear(7, 1)
        )
        self.net[1].eval()
        self.net[0].weight.requires_grad_(False)

    def forward(self, x):
        return self.net(x)


class Expected(TorchDispatchMode):
    """Below everything: the outputs of the named operators, whoever called them."""

    def __init__(self, *operators):
        super().__init__()
        self.operators, self.outputs = operators, []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        output = function(*args, **(kwargs or {}))
        if function.overloadpacket.__name__.removesuffix("_") in self.operators:
            self.outputs.append(output.clone())
        return output


def assert_same(found, expected):
    assert len(found) == len(expected) > 0
    for key, output, other in zip(found, found.values(), expected, strict=True):
        assert torch.equal(output, other), key


@pytest.mark.parametrize(("name", "calls"), [("VGG16", 15), ("ResNet34", 33), ("ResNet50", 49)])
def test_capture_against_plain_hooks(name, calls):
    torch.manual_seed(0)
    model, batch = randomised(models.build(name, 10)), torch.randn(2, 3, 32, 32)
    plain, outputs, names = copy.deepcopy(model).eval(), [], []

    def keep(path, module, args, output):
        names.append(path)
        outputs.append(output)

    for path, module in plain.named_modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
            module.register_forward_hook(partial(keep, path))
    with torch.no_grad():
        logits = plain(batch)
    captured = capture_with_logits(model, batch)
    assert_same(captured.activations, outputs)
    assert len(outputs) == calls
    assert [key.partition(":")[0] for key in captured.activations] == names
    assert torch.equal(captured.logits, logits)
    assert {key: output.shape for key, output in captured.activations.items()} == captured.shapes


@pytest.mark.parametrize("name", SMALLEST)
def test_every_torchvision_family_against_the_dispatcher(name):
    torch.manual_seed(0)
    facts = models.model_info(name)
    model, side = (
        models.build(name, 10),
        facts.side if facts.fixed_side else max(32, facts.min_side),
    )
    batch = torch.randn(1, 3, side, side)
    for kinds, operators in (
        (RELUS, ("relu", "hardtanh")),
        (ACTIVATIONS, ("relu", "hardtanh", "gelu", "silu", "hardswish", "tanh")),
    ):
        with Expected(*operators) as expected:
            captured = capture_with_logits(model, batch, kinds=kinds)
        if kinds is ACTIVATIONS or expected.outputs:
            assert_same(captured.activations, expected.outputs)
        assert list(captured.activations) == list(captured.shapes) == list(captured.axes)
    for key, output in captured.activations.items():
        maps = captured.maps(key)
        assert maps.shape[0] == output.shape[captured.axes[key]]
    with torch.no_grad():
        assert torch.equal(captured.logits, model.eval()(batch))


def test_the_families_are_all_of_them():
    def family(name):
        return name.rstrip("0123456789").split("_")[0].rstrip("0123456789")

    assert {family(name) for name in models.TORCHVISION} == {family(name) for name in SMALLEST}


def test_channels_are_found_after_linear_layers_too():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.act = nn.Linear(2, 5), nn.ReLU()

        def forward(self, x):
            return self.act(self.linear(x.flatten(2).transpose(1, 2)))

    found = capture_with_logits(nn.Sequential(Tokens()), torch.randn(1, 2, 1, 3))
    assert found.activations["0.act"].shape == (1, 3, 5)
    assert (found.maps("0.act") == found.activations["0.act"][0].numpy().T).all()
    model, key = models.build("swin_t", 10), "features.1.0.mlp.1"
    batch, width = torch.randn(1, 3, 32, 32), model.get_submodule("features.1.0.mlp.0").out_features
    found = capture_with_logits(model, batch, [key], ACTIVATIONS)
    assert found.maps(key).shape == (width, *found.activations[key].shape[1:3])
    assert measure_channels(model, batch, [key], ACTIVATIONS)[key].mean.shape == (width,)


def test_repeated_in_place_calls_by_hand():
    captured = capture_with_logits(Repeated(), images([3.0, 1.5, -2.0]))
    assert {key: output.tolist() for key, output in captured.activations.items()} == {
        "block.1": [[[[2.0, 0.5, 0.0]]]],
        "block.1:2": [[[[1.0, 0.0, 0.0]]]],
    }
    assert captured.logits.tolist() == [[5.0, 0.0, 0.0]]


def test_functions_by_hand():
    captured = capture(Functions(), images([7.0, 9.0]))
    assert {key: output.flatten().tolist() for key, output in captured.items()} == {
        "stem/relu:1": [7, 9],
        "stem/relu:2": [6, 8],
        "stem/relu:3": [5, 7],
        "stem/relu:4": [4, 6],
        "stem/relu:5": [3, 5],
        "stem/relu:6": [2, 4],
        "/leaky_relu:1": [-0.5, 1],
        "/relu6:1": [0, 6],
        "after": [0, 6],
    }
    assert list(capture(Functions(), images([7.0]), kinds={"relu": nn.ReLU})) == [
        *(f"stem/relu:{call}" for call in range(1, 7)),
        "after",
    ]


class Rectifiers(nn.Module):
    """Every rectifier that is no ReLU by name, and clamps that are none."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([2.0]))

    def forward(self, x):
        x = x.clamp(min=0) - 1
        x = torch.clamp_min(x, 0) - 1
        x = F.threshold(x, 0, 0) - 1
        x = torch.clip(x, 0, 6) - 1
        x = torch.clamp(x, 0.0) - 1
        x.clamp_(min=0)
        x = x.clamp(min=-5).clamp(max=9).clamp(0.1, 6) * self.scale.clamp(min=0)
        return x.flatten(1)


def test_rectifiers_by_another_name_are_captured_and_named():
    captured = capture_with_logits(Rectifiers(), images([7.0, 2.0]))
    assert {key: output.flatten().tolist() for key, output in captured.activations.items()} == {
        "/clamp:1": [7, 2],
        "/clamp_min:1": [6, 1],
        "/threshold:1": [5, 0],
        "/clip:1": [4, 0],
        "/clamp:2": [3, 0],
        "/clamp:3": [2, 0],
    }
    assert captured.kinds["/clamp:1"] == "clamp"
    assert captured.kinds["/threshold:1"] == "Threshold"


MODULES = [
    nn.ReLU6(), nn.LeakyReLU(), nn.PReLU(), nn.RReLU(), nn.Threshold(0.0, 0.0), nn.ELU(), nn.SELU(),
    nn.CELU(), nn.GELU(), nn.SiLU(), nn.Mish(), nn.Hardswish(), nn.Hardtanh(), nn.Softplus(),
    nn.Softsign(), nn.LogSigmoid(), nn.Tanh(),
]  # fmt: skip
FUNCTIONS = [
    F.relu6, F.leaky_relu, F.rrelu, F.elu, F.selu, F.celu, F.gelu, F.silu, F.mish, F.hardswish,
    F.hardtanh, F.softplus, F.softsign, F.logsigmoid, torch.tanh, torch.selu_, torch.Tensor.tanh_,
]  # fmt: skip


@pytest.mark.parametrize("module", MODULES, ids=lambda module: type(module).__name__)
def test_every_activation_module_is_captured_once(module):
    batch = torch.randn(1, 2, 3, 3)
    captured = capture_with_logits(nn.Sequential(module), batch)
    assert captured.kinds == {"0": type(module).__name__}
    with torch.no_grad():
        assert torch.equal(captured.activations["0"], module.eval()(batch))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_every_activation_function_is_captured_once(function):
    class Call(nn.Module):
        def forward(self, x):
            return function(x)

    batch = torch.randn(1, 2, 3, 3)
    (output,) = capture(Call(), batch).values()
    if function is not F.rrelu:  # which draws its slopes in training mode, its default
        assert torch.equal(output, function(batch.clone()))


def test_all_33_activations_of_mobilenet_v3_are_captured_and_its_gates_are_left_out():
    model = models.build("mobilenet_v3_small", 10)
    captured = capture_with_logits(model, torch.randn(1, 3, 64, 64))
    assert Counter(captured.kinds.values()) == {"Hardswish": 19, "ReLU": 14}
    assert list(captured.activations) == list(captured.kinds)
    assert describe_left_out(captured.left_out) == (
        "Left out: features.1.block.1.scale_activation and 8 more"
        " (Hardsigmoid, a gate and no activation)."
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_scripted_modules_are_named_as_left_out():
    inner = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.ReLU())
    model = nn.Sequential(torch.jit.script(inner), nn.ReLU())
    captured = capture_with_logits(model, images([1.0]))
    assert list(captured.activations) == ["1"]
    assert captured.left_out == {"0": "Sequential, scripted: its calls cannot be observed"}
    with pytest.warns(UserWarning, match=r"Left out: 0 \(Sequential, scripted"):
        capture(model, images([1.0]))
    whole = capture_with_logits(torch.jit.script(inner), images([1.0]))
    assert list(whole.left_out) == ["the whole network"]


def test_channels_after_a_convolution_of_one_dimension_are_captured():
    model = nn.Sequential(nn.Flatten(2), nn.Conv1d(2, 5, 1), nn.ReLU())
    captured = capture_with_logits(model, torch.randn(1, 2, 3, 3))
    assert captured.maps("2").shape == (5, 9)


def test_a_module_that_is_an_activation_itself():
    assert {
        key: output.tolist() for key, output in capture(nn.ReLU(), images([-1.0, 2.0])).items()
    } == {"ReLU": [[[[0.0, 2.0]]]]}


def test_smooth_activations_are_captured_unless_only_relus_are_asked_for():
    model = nn.Sequential(nn.GELU(), nn.ReLU(), nn.SiLU())
    assert list(capture(model, images([1.0]))) == ["0", "1", "2"]
    assert list(capture(model, images([1.0]), kinds=RELUS)) == ["1"]


def test_the_images_stay_the_callers():
    batch = images([-1.0, 2.0])
    capture(nn.Sequential(nn.ReLU(inplace=True)), batch)
    assert batch.tolist() == [[[[-1.0, 2.0]]]]


def test_the_model_is_left_as_it_was():
    model = randomised(models.build("ResNet20", 10))
    model.layer1 = model.layer1.eval()
    model.conv1.weight.grad = torch.ones_like(model.conv1.weight)
    model.register_forward_hook(lambda *_: None)
    before = state(model)
    outputs = capture(model, torch.randn(2, 3, 32, 32))
    assert state(model) == before
    assert _len_torch_function_stack() == 0
    assert not any(output.requires_grad for output in outputs.values())


def test_the_model_is_left_as_it_was_after_an_exception():
    model = Broken()
    before = state(model)
    with pytest.raises(RuntimeError, match="shapes"):
        capture(model, torch.randn(2, 1, 3, 3))
    assert state(model) == before
    assert _len_torch_function_stack() == 0
    assert torch.is_grad_enabled()


def test_an_exception_that_the_network_catches_leaves_the_names_right():
    class Careful(nn.Module):
        def __init__(self):
            super().__init__()
            self.broken = Broken()

        def forward(self, x):
            try:
                return self.broken(x)
            except RuntimeError:
                return F.relu(x)

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.careful, self.after = Careful(), nn.ReLU()

        def forward(self, x):
            return torch.relu(self.after(self.careful(x)))

    assert list(capture(Outer(), torch.randn(1, 1, 3, 3)))[-2:] == ["after", "/relu:1"]


def test_memory_holds_what_is_asked_for():
    model, made = models.build("ResNet20", 10), []
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
            module.register_forward_hook(lambda _, __, output: made.append(weakref.ref(output)))
    captured = capture_with_logits(model, torch.randn(1, 3, 32, 32), layers=["layer2.0.relu"])
    assert list(captured.activations) == ["layer2.0.relu"]
    assert len(made) == len(captured.shapes) == 19
    assert [output() for output in made] == [None] * 19
    assert capture_with_logits(model, torch.randn(1, 3, 32, 32), layers=()).activations == {}


def test_a_layer_that_is_not_kept_is_gone_before_the_next_but_one_is_seen():
    seen: list[weakref.ref] = []
    alive = []

    def see(call, output):
        alive.append(sum(other() is not None for other in seen))
        seen.append(weakref.ref(output))

    observe_activations(nn.Sequential(*(nn.ReLU() for _ in range(20))), images([1.0]), see)
    assert len(seen) == 20
    assert max(alive) <= 1


def test_outputs_stay_on_the_models_device():
    captured = capture_with_logits(models.build_on_meta("ResNet20", 10), torch.randn(1, 3, 32, 32))
    assert {output.device.type for output in [captured.logits, *captured.activations.values()]} == {
        "meta"
    }
    assert captured.shapes["layer3.2.relu:2"] == (1, 64, 8, 8)


def test_compiled_networks_give_what_their_originals_give_without_being_compiled():
    model, batch, compilations = models.build("LeNet5", 10), torch.randn(1, 3, 32, 32), []

    def backend(graph, inputs):
        compilations.append(graph)
        return graph

    expected = capture(model, batch)
    assert len(expected) == 4
    whole: Any = torch.compile(model, backend=backend)
    in_place = copy.deepcopy(model)
    in_place.compile(backend=backend)
    inside: Any = copy.deepcopy(model)
    inside.features = torch.compile(inside.features, backend=backend)
    function = copy.deepcopy(model)
    function.forward = torch.compile(function.forward, backend=backend)
    for compiled in (whole, in_place, inside, function):
        found = capture(compiled, batch)
        assert compilations == []
        assert list(found) == list(expected)
        assert_same(found, list(expected.values()))
    with torch.no_grad():
        in_place(batch)
    assert len(compilations) == 1


def test_another_thread_that_runs_the_same_model_is_not_seen():
    model, batch, keys = models.build("LeNet5", 10).eval(), torch.randn(1, 3, 32, 32), []

    def see(call, output):
        keys.append(call.key)
        other = threading.Thread(target=model, args=(batch,))
        other.start()
        other.join()

    observe_activations(model, batch, see)
    assert keys == list(capture(model, batch))


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(1, 3, 32, 32, dtype=torch.uint8),
        torch.zeros(3, 32, 32),
        torch.zeros(0, 3, 32, 32),
    ],
)
def test_other_images_are_refused(wrong):
    with pytest.raises(
        UserError, match=r"images must be .* \(N, C, H, W\), got (uint8|float32) \("
    ):
        capture(nn.ReLU(), wrong)


@pytest.mark.parametrize("function", [capture, capture_with_logits, measure_channels])
def test_an_unknown_layer_is_refused(function):
    with pytest.raises(UserError, match=r"layers must be among block.1, block.1:2, got 'block.7'"):
        function(Repeated(), images([1.0]), ["block.1", "block.7"])


def test_the_package_offers_capture():
    from core.inspect import activations

    assert activations.capture is capture
