"""Evaluation against a plain loop over single images."""

import math

import pytest
import torch
from torch import nn

from core.data.batches import DeviceImages
from core.data.imageset import ImageSet
from core.training import evaluate as evaluation
from core.training.evaluate import evaluate, mean_divergence
from tests.toys import Flat


def pictures(n=30):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, 3, 8, 8), generator=generator, dtype=torch.uint8).numpy()
    labels = torch.randint(0, 5, (n,), generator=generator).numpy()
    return DeviceImages(ImageSet(images, labels), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), "cpu")


@pytest.mark.parametrize("size", [1, 7, 30, 500])
def test_evaluation_is_a_plain_loop_over_single_images(monkeypatch, size):
    monkeypatch.setattr(evaluation, "TEST_BATCH", size)
    torch.manual_seed(3)
    model = Flat(dropout=0.5)
    images = pictures()
    assert model.norm.running_mean is not None
    model.norm.running_mean.normal_()
    model.eval()
    losses = []
    hits = 0
    with torch.no_grad():
        for index in range(30):
            pixels = images.images[index].float() / 255
            mean = torch.tensor([0.5, 0.4, 0.3])[:, None, None]
            std = torch.tensor([0.2, 0.3, 0.4])[:, None, None]
            x = (pixels - mean) / std
            logits = model(x[None])[0]
            losses.append(float(-torch.log_softmax(logits.double(), 0)[images.labels[index]]))
            hits += int(logits.argmax()) == int(images.labels[index])
    loss, accuracy = evaluate(model.train(), images)
    assert loss == pytest.approx(sum(losses) / 30, rel=1e-5)
    assert accuracy == hits / 30


def test_evaluation_leaves_the_model_as_it_was(monkeypatch):
    model = Flat(dropout=0.5)
    model.train()
    model.norm.eval()  # a frozen BatchNorm in a model that trains
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    evaluate(model, pictures())
    assert [module.training for module in model.modules()] == [
        module is not model.norm for module in model.modules()
    ]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())

    class Broken(nn.Module):
        def forward(self, images):
            raise RuntimeError("broken")

    broken = Broken().train()
    with pytest.raises(RuntimeError, match="broken"):
        evaluate(broken, pictures())
    assert broken.training


def test_the_divergence_is_a_plain_sum_over_classes():
    torch.manual_seed(0)
    model = Flat()
    reference = Flat()
    images = pictures()
    batch, _ = images.batch(slice(0, 30))
    with torch.no_grad():
        answers = model.eval()(batch).double().softmax(1)
        wanted = reference.eval()(batch).double().softmax(1)
    by_hand = (wanted * (wanted / answers).log()).sum(1).mean()
    found = mean_divergence(model, reference, images)
    assert found == pytest.approx(float(by_hand), rel=1e-4)
    assert mean_divergence(model, model, images) == 0.0


def test_a_network_whose_answers_are_nan_never_counts_as_the_closest():
    model = Flat()
    broken = Flat()
    with torch.no_grad():
        broken.head.bias.fill_(math.nan)
    assert mean_divergence(broken, model, pictures()) == math.inf
