"""Tensors are matched by name or by order, and what does not fit is refused in one sentence."""

import pytest
import torch

from core import models
from core.checkpoints.matching import compare_tensors, count_classes, match_tensors
from core.checkpoints.recognition import RecognisedNetwork, recognise
from core.checkpoints.tensors import COUNTER
from core.errors import UserError
from core.models import MODELS, build_on_meta
from tests.core.checkpoints.states import renamed, state_of, with_other_layers


def complaint(*args, **options):
    with pytest.raises(UserError) as caught:
        match_tensors(*args, **options)
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    return text


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
    found = match_tensors(state, model, 10, by_order=True)
    other = models.build(model, 10).eval()
    other.load_state_dict(found.state(state))
    assert torch.equal(network(images), other(images))
    assert found.by_order == (rename is with_other_layers)
    assert len(found.pairs) == len(state)


def test_names_that_mean_the_same_match_by_name():
    """pytorch-cifar says shortcut and linear where torchvision says downsample and fc."""
    state = state_of("ResNet34", 10)
    theirs = renamed(
        state, lambda _, name: name.replace("downsample", "shortcut").replace("fc.", "linear.")
    )
    assert recognise(theirs) == [RecognisedNetwork("ResNet34", 10, by_order=False)]
    matching = match_tensors(theirs, "ResNet34", 10)
    assert len(matching.renamed) == 3 * 6 + 2
    pairs = {ours: other for other, ours, _ in matching.pairs}
    assert pairs["layer2.0.downsample.1.running_var"] == "layer2.0.shortcut.1.running_var"
    assert all(
        pairs[name] == name.replace("downsample", "shortcut").replace("fc.", "linear.")
        for name in state
    )


@torch.no_grad()
def test_normalisation_may_be_listed_before_the_convolution_it_follows():
    network = trained("ResNet20")
    state = dict(
        sorted(with_other_layers(network.state_dict()).items(), key=lambda item: item[1].ndim)
    )
    found = match_tensors(state, "ResNet20", 10, by_order=True)
    other = models.build("ResNet20", 10).eval()
    other.load_state_dict(found.state(state))
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(network(images), other(images))


def test_missing_counters_become_zero():
    state = {
        name: tensor
        for name, tensor in trained("ResNet20").state_dict().items()
        if not name.endswith(COUNTER)
    }
    filled = match_tensors(state, "ResNet20", 10).state(state)
    build_on_meta("ResNet20", 10).load_state_dict(filled, assign=True)
    assert filled[f"bn1.{COUNTER}"] == 0


def test_a_missing_tensor_is_named():
    state = state_of("ResNet20")
    del state["layer1.0.conv1.weight"], state["bn1.bias"]
    text = complaint(state, "ResNet20", 7, name="x.pt")
    assert text == "x.pt is no ResNet20 for 7 classes: it has no bn1.bias (and 1 more)."


def test_an_extra_tensor_is_named():
    text = complaint({**state_of("ResNet20"), "ema.decay": torch.tensor(0.9)}, "ResNet20", 7)
    assert "the network has no ema.decay" in text


def test_a_wrong_shape_is_named_with_both_shapes():
    state = state_of("ResNet20") | {"conv1.weight": torch.ones(16, 3, 7, 7)}
    assert "its conv1.weight is 16 × 3 × 7 × 7, not 16 × 3 × 3 × 3 as the network's" in complaint(
        state, "ResNet20", 7
    )
    by_order = with_other_layers(state)
    assert (
        "its body.0.weight is 16 × 3 × 7 × 7, not 16 × 3 × 3 × 3 as the network's conv1.weight"
        in complaint(by_order, "ResNet20", 7, by_order=True)
    )


def test_whole_numbers_are_no_weights():
    state = state_of("LeNet5") | {"features.0.weight": torch.ones(6, 3, 5, 5, dtype=torch.int8)}
    assert "of whole numbers" in complaint(state, "LeNet5", 7)


@pytest.mark.parametrize("by_order", [False, True])
def test_another_network_is_refused(by_order):
    text = complaint(state_of("ResNet56"), "ResNet20", 7, by_order=by_order)
    assert "is no ResNet20" in text
    assert "layer1.3.conv1.weight" in text or "layer1.0.conv1" in text or "not 32" in text


def test_order_is_only_used_where_it_is_allowed():
    state = with_other_layers(state_of("ResNet20"))
    text = complaint(state, "ResNet20", 7)
    assert "body.0.weight for conv1.weight" in text
    assert "--by-order" in text
    assert match_tensors(state, "ResNet20", 7, by_order=True).fits


def test_names_that_agree_win_over_the_order():
    state = state_of("ResNet20")
    backwards = dict(reversed(state.items()))
    assert not match_tensors(backwards, "ResNet20", 7, by_order=True).by_order


def test_comparing_never_raises():
    found = compare_tensors(state_of("LeNet5"), "ResNet20", 10, by_order=True)
    assert not found.fits
    assert found.problem("x").startswith("x is no ResNet20")


@pytest.mark.parametrize("model", ["VGG16", "ResNet20", "LeNet5", "squeezenet1_1", "vit_b_32"])
def test_classes_are_counted_at_the_last_layer(model):
    assert count_classes(state_of(model, 13), model) == 13
    assert count_classes(with_other_layers(state_of(model, 13)), model) is None
    if model in MODELS:
        assert count_classes(with_other_layers(state_of(model, 13)), model, by_order=True) == 13


def test_unknown_networks():
    with pytest.raises(UserError, match="model must be one of"):
        match_tensors({}, "ResNet21", 10)
