"""State dicts are recognised by their parameters and shapes, whatever their names."""

import pytest
import torch

from core import models
from core.checkpoints import matching, recognition
from core.checkpoints.recognition import RecognisedNetwork, describe_unrecognised, recognise
from core.checkpoints.tensors import COUNTER, network_tensors
from core.models import MODELS
from tests.core.checkpoints.states import state_of, with_other_layers

FROM_TORCHVISION = [
    "resnet18",
    "vgg11",
    "vgg11_bn",
    "densenet121",
    "squeezenet1_1",
    "mobilenet_v2",
    "vit_b_32",
    "swin_v2_t",
    "googlenet",
    "regnet_y_400mf",
]


POOLED_OTHERWISE = {
    f"VGG{layers}{layout}": {f"VGG{layers}{other}"}
    for layers in (11, 13, 16, 19)
    for layout, other in (("BN", "LTH"), ("LTH", "BN"))
}
"""The lottery ticket papers' VGG has an average in place of a max-pool, which no tensor shows."""


@pytest.mark.parametrize("model", [*MODELS, *FROM_TORCHVISION])
@pytest.mark.parametrize("classes", [2, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_network_is_recognised_by_its_tensors(model, classes):
    assert recognise(state_of(model, classes)) == [
        RecognisedNetwork(model, classes, by_order=False)
    ]


@pytest.mark.parametrize("model", MODELS)
def test_its_names_do_not_matter(model):
    candidates = recognise(with_other_layers(state_of(model)))
    assert all(candidate.num_classes == 7 and candidate.by_order for candidate in candidates)
    models = {candidate.model for candidate in candidates}
    assert models == {model} | POOLED_OTHERWISE.get(model, set())


@pytest.mark.parametrize("model", ["VGG16", "ResNet20"])
def test_counters_may_be_missing(model):
    state = {name: tensor for name, tensor in state_of(model).items() if not name.endswith(COUNTER)}
    assert recognise(state) == [RecognisedNetwork(model, 7, by_order=False)]
    assert recognise(with_other_layers(state)) == [RecognisedNetwork(model, 7, by_order=True)]


def test_several_may_fit(monkeypatch):
    twin = models.ModelInfo("Twin", MODELS["LeNet5"].parameters, 1, "The same again.")
    registry = {"LeNet5": MODELS["LeNet5"], "Twin": twin}
    monkeypatch.setattr(recognition, "ALL_MODELS", registry)
    monkeypatch.setattr(
        matching, "network_tensors", lambda model, classes: network_tensors("LeNet5", classes)
    )
    monkeypatch.setattr(matching, "model_info", registry.get)
    assert [candidate.model for candidate in recognise(state_of("LeNet5"))] == ["LeNet5", "Twin"]


@pytest.mark.parametrize(
    "state",
    [
        {"a": torch.ones(3)},
        {"a.weight": torch.ones(0, 4)},
        {"a.weight": torch.ones(())},
        {"a.weight": torch.ones(5, 4)},
        {"x": torch.tensor(3)},
    ],
)
def test_what_is_no_network_here(state):
    assert recognise(state) == []
    assert "fits none of the" in describe_unrecognised(state, "x.pt")
