"""A training that cuts channels ends in a network that becomes smaller without changing."""

import pytest
import torch

from core import data
from core.compress.channels.dead import compare_costs, find_dead_channels
from core.compress.channels.remove import remove_channels
from core.config import Prune, TrainRecipe
from core.jobs.train import TrainJob
from core.models.parameters import prunable_weights


@pytest.mark.parametrize(
    "method", ["channel-snip", pytest.param("channel-magnitude", marks=pytest.mark.slow)]
)
def test_the_trained_network_becomes_as_small_as_its_density(method, digits):
    recipe = TrainRecipe(
        model="ResNet20",
        dataset="Digits",
        prune=Prune(method=method, density=0.2, batches=1),
        epochs=1,
        batch_size=16,
        train_images=48,
        device="cpu",
    )
    training = TrainJob(recipe, digits)
    for _ in training.events():
        pass
    network = training.model.eval()
    dataset = data.load("Digits", digits)
    smaller = remove_channels(network, find_dead_channels(network, dataset.side))
    images = torch.randn(4, 3, dataset.side, dataset.side)
    with torch.no_grad():
        torch.testing.assert_close(smaller(images), network(images), rtol=1e-4, atol=1e-4)
    report = compare_costs(network, smaller, dataset.side)
    weights = sum(weight.numel() for weight in prunable_weights(network).values())
    assert report.before.weights == weights
    assert abs(report.after.weights / weights - 0.2) < 0.02  # the last group, whole or not at all
    assert report.macs_left < 0.5
