"""The Fisher information against its definition, one image and one class at a time."""

import pytest
import torch
from torch import nn

from core.compress.fisher import fisher_information
from tests.toys import Flat


def drained(generator):
    progress = []
    while True:
        try:
            progress.append(next(generator))
        except StopIteration as end:
            return end.value, progress


def exact(network, name, images):
    """The mean squared gradient over images and labels, each label by its probability."""
    weight = network.get_parameter(name)
    total = torch.zeros_like(weight)
    for image in images:
        log_probabilities = network(image[None]).log_softmax(1)[0]
        for log_probability in log_probabilities:
            (gradient,) = torch.autograd.grad(log_probability, weight, retain_graph=True)
            total += log_probability.detach().exp() * gradient.square()
    return total / len(images)


def test_it_converges_to_the_definition():
    torch.manual_seed(0)
    network = Flat().eval()
    images = torch.randn(24, 3, 8, 8)
    names = ["conv.weight", "head.weight"]
    repeated = [images] * 150
    found, _ = drained(fisher_information(network, names, repeated, seed=0))
    for name in names:
        expected = exact(network, name, images)
        expected = expected.clamp(min=0.01 * float(expected.mean()))
        ratio = float((found[name] - expected).norm() / expected.norm())
        assert ratio < 0.1, name


def test_the_network_and_the_global_generator_stay_as_they_are():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3)).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    images = [torch.ones(3, 1, 2, 2), torch.ones(9, 1, 2, 2)]
    found, progress = drained(fisher_information(network, ["1.weight"], images, seed=1))
    assert torch.equal(torch.rand(3), expected)
    assert [(step.done, step.total, step.unit) for step in progress] == [
        (0, 12, "images"),
        (3, 12, "images"),
    ]
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    again, _ = drained(fisher_information(network, ["1.weight"], images, seed=1))
    assert torch.equal(found["1.weight"], again["1.weight"])


@pytest.mark.parametrize("is_used", [False, True])
def test_a_weight_without_effect_has_the_same_information_everywhere(is_used):
    """Of a layer that is not called, or whose inputs are all 0."""

    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 3)
            self.idle = nn.Linear(4, 3)

        def forward(self, images):
            logits = self.head(images.flatten(1))
            return logits + self.idle(torch.zeros_like(images.flatten(1))) if is_used else logits

    found, _ = drained(
        fisher_information(Idle().eval(), ["idle.weight"], [torch.ones(4, 1, 2, 2)], seed=0)
    )
    assert torch.equal(found["idle.weight"], torch.ones(3, 4))
