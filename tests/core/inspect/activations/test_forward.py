"""One network run on one image, and on batches."""

import numpy as np
import pytest
import torch

from core.data.batches import normalise
from core.inspect.activations.captured import capture
from core.inspect.activations.forward import run_forward, running_statistics
from core.inspect.activations.statistics import measure_channels
from core.models import build
from core.models.card import ModelCard

CARD = ModelCard(
    model="LeNet5",
    dataset="Digits",
    classes=tuple("0123456789"),
    mean=(0.5, 0.25, 0.0),
    std=(0.5, 0.5, 1.0),
    side=32,
)


def network(name="LeNet5", seed=0):
    torch.manual_seed(seed)
    return build(name, 10).eval()


def test_pixels_become_what_the_network_was_trained_on():
    pixels = np.array([255, 0, 51], np.uint8).reshape(1, 3, 1, 1)
    assert normalise(pixels, CARD.mean, CARD.std).flatten().tolist() == pytest.approx(
        [1.0, -0.5, 0.2]
    )


def test_a_forward_pass_is_what_capture_returns(image):
    model = network("ResNet20")
    seen = run_forward(model, image, CARD)
    expected = capture(model, normalise(image[None], CARD.mean, CARD.std))
    assert list(seen.shapes) == list(expected)
    for key, output in expected.items():
        assert np.array_equal(seen.maps(key), output[0].numpy())
    with torch.no_grad():
        logits = model(normalise(image[None], CARD.mean, CARD.std))[0]
    assert seen.probabilities == pytest.approx(torch.softmax(logits.double(), 0).numpy())
    assert not any(module._forward_hooks for module in model.modules())


def test_the_weights_behind_a_relu():
    model = network("LeNet5")
    weights = run_forward(model, np.zeros((3, 32, 32), np.uint8), CARD).source_weights
    assert list(weights.values()) == [
        ("features.0.weight",),
        ("features.3.weight",),
        ("classifier.0.weight",),
        ("classifier.2.weight",),
    ]


def test_a_sum_of_two_convolutions_names_both():
    weights = run_forward(network("ResNet50"), np.zeros((3, 32, 32), np.uint8), CARD).source_weights
    assert len(weights) == 49
    *_, second, third = list(weights.items())[:4]
    assert second[1] == ("layer1.0.conv2.weight",)
    assert third[1] == ("layer1.0.conv3.weight", "layer1.0.downsample.0.weight")


def test_totals_over_batches_are_the_statistics_of_all():
    images = np.random.default_rng(1).integers(0, 256, (10, 3, 32, 32), np.uint8)
    model = network()
    *_, last = running_statistics(model, images, CARD, batch_size=4)
    expected = measure_channels(model, normalise(images, CARD.mean, CARD.std))
    assert last.keys() == expected.keys()
    for key, value in expected.items():
        assert last[key].count == value.count
        assert torch.equal(last[key].zero_count, value.zero_count)
        assert last[key].mean.tolist() == pytest.approx(value.mean.tolist(), rel=1e-4, abs=1e-6)
