"""Which network a state dict is: recognised by shapes, matched by name or by order, refused in one sentence."""

import pytest
import torch

from core import models
from core.errors import UserError
from core.models import MODELS, matching, skeleton
from core.models.matching import Candidate, classes_in, compare, match, recognise

COUNTER = "num_batches_tracked"
FROM_TORCHVISION = ["resnet18", "vgg11", "vgg11_bn", "densenet121", "squeezenet1_1", "mobilenet_v2", "vit_b_32",
                    "swin_v2_t", "googlenet", "regnet_y_400mf"]


def weightless(model, classes=7):
    """A state dict with every name and shape of a network, that takes no memory."""
    return {name: torch.zeros((), dtype=tensor.dtype).expand(tensor.shape)
            for name, tensor in skeleton(model, classes).state_dict().items()}


def renamed(state, rename):
    return {rename(index, name): tensor for index, (name, tensor) in enumerate(state.items())}


def with_other_layers(state):
    """The same parameters in layers of other names."""
    layers = {}
    return renamed(state, lambda _, name: (
        f"body.{layers.setdefault(name.rpartition('.')[0], len(layers))}.{name.rpartition('.')[2]}"))


def complaint(*args, **options):
    with pytest.raises(UserError) as caught:
        match(*args, **options)
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    return text


# -- recognising ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("model", [*MODELS, *FROM_TORCHVISION])
@pytest.mark.parametrize("classes", [2, 1000])
def test_a_network_is_recognised_by_its_tensors(model, classes):
    assert recognise(weightless(model, classes)) == [Candidate(model, classes, by_order=False)]


@pytest.mark.parametrize("model", MODELS)
def test_its_names_do_not_matter(model):
    assert recognise(with_other_layers(weightless(model))) == [Candidate(model, 7, by_order=True)]


@pytest.mark.parametrize("model", ["VGG16", "ResNet20"])
def test_counters_may_be_missing(model):
    state = {name: tensor for name, tensor in weightless(model).items() if not name.endswith(COUNTER)}
    assert recognise(state) == [Candidate(model, 7, by_order=False)]
    assert recognise(with_other_layers(state)) == [Candidate(model, 7, by_order=True)]


def test_several_may_fit(monkeypatch):
    twin = models.ModelInfo("Twin", MODELS["LeNet5"].parameters, 1, "The same again.")
    monkeypatch.setattr(matching, "MODELS", {"LeNet5": MODELS["LeNet5"], "Twin": twin})
    real = matching.tensors
    monkeypatch.setattr(matching, "tensors", lambda model, classes: real("LeNet5", classes))
    monkeypatch.setattr(matching, "info", lambda model: twin if model == "Twin" else MODELS["LeNet5"])
    assert [candidate.model for candidate in recognise(weightless("LeNet5"))] == ["LeNet5", "Twin"]


@pytest.mark.parametrize("state", [{"a": torch.ones(3)}, {"a.weight": torch.ones(0, 4)}, {"a.weight": torch.ones(())},
                                   {"a.weight": torch.ones(5, 4)}, {"x": torch.tensor(3)}])
def test_what_is_no_network_here(state):
    assert recognise(state) == []
    assert "fits none of the" in matching.stranger(state, "x.pt")


# -- matching -------------------------------------------------------------------------------------------------------

def trained(model, classes=10):
    torch.manual_seed(0)
    network = models.build(model, classes)
    network(torch.randn(4, 3, 32, 32))
    return network.eval()


@pytest.mark.parametrize("model", ["VGG16", "ResNet20", "LeNet5", "ResNet34"])
@pytest.mark.parametrize("rename", [lambda state: state, with_other_layers])
@torch.no_grad()
def test_the_matched_network_computes_the_same(model, rename):
    network, images = trained(model), torch.randn(2, 3, 32, 32)
    state = rename(network.state_dict())
    found = match(state, model, 10, by_order=True)
    other = models.build(model, 10).eval()
    other.load_state_dict(found.state(state))
    assert torch.equal(network(images), other(images))
    assert found.by_order == (rename is with_other_layers)
    assert len(found.pairs) == len(state)


def test_other_peoples_resnet34_by_order():
    """pytorch-cifar says shortcut and linear where torchvision says downsample and fc."""
    state = weightless("ResNet34", 10)
    theirs = renamed(state, lambda _, name: name.replace("downsample", "shortcut").replace("fc.", "linear."))
    assert recognise(theirs) == [Candidate("ResNet34", 10, by_order=True)]
    pairs = {ours: other for other, ours, _ in match(theirs, "ResNet34", 10, by_order=True).pairs}
    assert pairs["layer2.0.downsample.1.running_var"] == "layer2.0.shortcut.1.running_var"
    assert all(pairs[name] == name.replace("downsample", "shortcut").replace("fc.", "linear.") for name in state)


@torch.no_grad()
def test_normalisation_may_be_listed_before_the_convolution_it_follows():
    network = trained("ResNet20")
    state = dict(sorted(with_other_layers(network.state_dict()).items(), key=lambda item: item[1].ndim))
    found = match(state, "ResNet20", 10, by_order=True)
    other = models.build("ResNet20", 10).eval()
    other.load_state_dict(found.state(state))
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(network(images), other(images))


def test_missing_counters_become_zero():
    state = {name: tensor for name, tensor in trained("ResNet20").state_dict().items() if not name.endswith(COUNTER)}
    filled = match(state, "ResNet20", 10).state(state)
    skeleton("ResNet20", 10).load_state_dict(filled, assign=True)
    assert filled[f"bn1.{COUNTER}"] == 0


def test_a_missing_tensor_is_named():
    state = weightless("ResNet20")
    del state["layer1.0.conv1.weight"], state["bn1.bias"]
    text = complaint(state, "ResNet20", 7, name="x.pt")
    assert text == "x.pt is no ResNet20 for 7 classes: it has no bn1.bias (and 1 more)."


def test_an_extra_tensor_is_named():
    text = complaint({**weightless("ResNet20"), "ema.decay": torch.tensor(0.9)}, "ResNet20", 7)
    assert "its ema.decay has no place there" in text


def test_a_wrong_shape_is_named_with_both_shapes():
    state = weightless("ResNet20") | {"conv1.weight": torch.ones(16, 3, 7, 7)}
    assert "its conv1.weight is 16 × 3 × 7 × 7, not 16 × 3 × 3 × 3 as the network's" in complaint(state, "ResNet20", 7)
    by_order = with_other_layers(state)
    assert "its body.0.weight is 16 × 3 × 7 × 7, not 16 × 3 × 3 × 3 as the network's conv1.weight" in complaint(
        by_order, "ResNet20", 7, by_order=True)


def test_whole_numbers_are_no_weights():
    state = weightless("LeNet5") | {"features.0.weight": torch.ones(6, 3, 5, 5, dtype=torch.int8)}
    assert "of whole numbers" in complaint(state, "LeNet5", 7)


@pytest.mark.parametrize("by_order", [False, True])
def test_another_network_is_refused(by_order):
    text = complaint(weightless("ResNet56"), "ResNet20", 7, by_order=by_order)
    assert "is no ResNet20" in text
    assert "layer1.3.conv1.weight" in text or "layer1.0.conv1" in text or "not 32" in text


def test_order_is_only_used_where_it_is_allowed():
    state = with_other_layers(weightless("ResNet20"))
    text = complaint(state, "ResNet20", 7)
    assert "body.0.weight for conv1.weight" in text
    assert "--by-order" in text
    assert match(state, "ResNet20", 7, by_order=True).fits


def test_names_that_agree_win_over_the_order():
    state = weightless("ResNet20")
    backwards = dict(reversed(state.items()))
    assert not match(backwards, "ResNet20", 7, by_order=True).by_order


def test_comparing_never_raises():
    found = compare(weightless("LeNet5"), "ResNet20", 10, by_order=True)
    assert not found.fits
    assert found.problem("x").startswith("x is no ResNet20")


@pytest.mark.parametrize("model", ["VGG16", "ResNet20", "LeNet5", "squeezenet1_1", "vit_b_32"])
def test_classes_are_counted_at_the_last_layer(model):
    assert classes_in(weightless(model, 13), model) == 13
    assert classes_in(with_other_layers(weightless(model, 13)), model) is None
    if model in MODELS:
        assert classes_in(with_other_layers(weightless(model, 13)), model, by_order=True) == 13


def test_unknown_networks():
    with pytest.raises(UserError, match="model must be one of"):
        match({}, "ResNet21", 10)
