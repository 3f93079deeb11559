"""timm's networks by name; they are tested where timm is installed."""

import importlib.util
import sys

import pytest
import torch

from core import models
from core.errors import UserError
from core.models.card import ModelCard
from core.models.saved import SavedModel

needs_timm = pytest.mark.skipif(
    importlib.util.find_spec("timm") is None,
    reason="timm is not installed: pip install -r requirements-timm.txt",
)
SMALL = "timm/test_resnet"
"""A network of 0.5 million parameters that timm has for tests."""


def card(name, side):
    return ModelCard(model=name, classes=("a", "b"), mean=(0, 0, 0), std=(1, 1, 1), side=side)


def test_without_timm_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    for ask in (models.model_info, lambda name: models.build(name, 2)):
        with pytest.raises(UserError, match=r"pip install -r requirements-timm\.txt"):
            ask("timm/resnet18_not_asked_before")
    assert models.model_info("resnet18").side == 224


@needs_timm
def test_resnet18_is_torchvisions():
    ours, theirs = models.model_info("timm/resnet18"), models.model_info("resnet18")
    assert (ours.parameters, ours.macs, ours.side) == (theirs.parameters, theirs.macs, theirs.side)
    shapes = [
        {name: item.shape for name, item in models.build_on_meta(name, 10).state_dict().items()}
        for name in ("timm/resnet18", "resnet18")
    ]
    assert shapes[0] == shapes[1]


@needs_timm
def test_a_network_takes_its_own_images():
    assert models.model_info("timm/test_vit").fixed_side
    side = models.model_info("timm/test_vit").side
    models.check_network("timm/test_vit", side)
    with pytest.raises(UserError, match=f"exactly {side} x {side} pixels, got 32 x 32"):
        models.check_network("timm/test_vit", 32)
    models.check_network(SMALL, 32)
    assert models.build(SMALL, 5)(torch.zeros(2, 3, 32, 32)).shape == (2, 5)


@needs_timm
@pytest.mark.parametrize(
    "name", ["hf-hub:timm/resnet18.a1_in1k", "local-dir:/tmp", "resnet18.a1_in1k", ""]
)
def test_a_name_that_would_be_fetched_is_refused(name):
    for ask in (models.model_info, lambda name: models.build(name, 2)):
        with pytest.raises(UserError, match="must be timm/ and a network of timm"):
            ask(f"timm/{name}")


@needs_timm
def test_a_network_for_other_images_is_refused():
    with pytest.raises(UserError, match="takes 3 x 1024 x 768"):
        models.model_info("timm/vit_base_patch16_sapiens2")


@needs_timm
@pytest.mark.parametrize(
    "name",
    [
        SMALL,
        "timm/test_vit",
        "timm/resnetblur18",
        pytest.param("timm/swin_s3_tiny_224", marks=pytest.mark.slow),
    ],
)
def test_a_saved_network_answers_as_before(name):
    """Two of them have values that are in no state dict."""
    info = models.model_info(name)
    torch.manual_seed(0)
    network = models.build(name, 2).eval()
    rebuilt = SavedModel(card(name, info.side), network.state_dict()).network()
    images = torch.rand(1, 3, info.side, info.side)
    with torch.no_grad():
        assert torch.equal(rebuilt(images), network(images))
