"""Networks rounded with compensation: closer answers on other images, and the same every time."""

import copy
from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core import data
from core.compress.affine import QuantizedWeight, quantize_model
from core.compress.compensation.inputs import measure_inputs
from core.compress.kmeans import share_model
from core.compress.rounding.layer import round_layer
from core.compress.rounding.network import round_network
from core.data.batches import DeviceImages
from core.events import Progress
from core.models.parameters import prunable_weights
from core.training.evaluate import kl_divergence
from tests.toys import Flat, Tied, batch


def run(*arguments):
    """Return the Progress events and the rounded network."""
    rounding = round_network(*arguments)
    events = []
    while True:
        try:
            events.append(next(rounding))
        except StopIteration as end:
            return events, end.value


def with_items(network, items):
    result = copy.deepcopy(network)
    for name, item in items.items():
        result.get_parameter(name).data.copy_(item.decode())
    return result


def small_network():
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=4, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 8, 3, stride=2, groups=8, bias=False),
        nn.Conv2d(8, 16, 1),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(16 * 3 * 3, 10),
    )


def trained(images, labels, seed):
    """A small network after 60 steps; it gets most digits right."""
    torch.manual_seed(seed)
    network = small_network()
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for step in range(60):
        rows = torch.arange(32 * step, 32 * (step + 1)) % len(images)
        optimizer.zero_grad()
        F.cross_entropy(network(images[rows]), labels[rows]).backward()
        optimizer.step()
    return network.eval()


@pytest.fixture(scope="module")
def digits_images(digits):
    """Training images and labels, and test images, all normalised."""
    dataset = data.load("Digits", digits)
    train = DeviceImages(dataset.train, dataset.mean, dataset.std, "cpu")
    test = DeviceImages(dataset.test, dataset.mean, dataset.std, "cpu")
    images, labels = train.batch(slice(0, len(train)))
    return images, labels, test.batch(slice(0, len(test)))[0]


@pytest.fixture(scope="module")
def networks(digits_images):
    """Ten trained networks."""
    images, labels, _ = digits_images
    return [trained(images, labels, seed) for seed in range(10)]


@torch.no_grad()
def divergence(network, reference, images):
    return float(kl_divergence(network(images), reference(images)).mean())


@pytest.mark.parametrize(
    "method",
    [
        "3 clusters",
        pytest.param("5 clusters, pruned", marks=pytest.mark.slow),
        pytest.param("3 bits", marks=pytest.mark.slow),
        "4 bits, pruned",
    ],
)
def test_answers_on_other_images_come_closer_than_with_nearest(digits_images, networks, method):
    images, _, others = digits_images
    closer = 0
    for float_network in networks:
        network = copy.deepcopy(float_network)
        names = list(prunable_weights(network))
        if "pruned" in method:
            for weight in prunable_weights(network).values():
                weight.data[weight.abs() < weight.abs().median()] = 0
        levels = int(method[0])
        nearest: Mapping[str, QuantizedWeight] = share_model(network, levels)
        if "bits" in method:
            nearest = quantize_model(network, levels, 0)
        batches = list(images[:256].split(128))
        _, rounded = run(network, nearest, names, batches)
        before = divergence(with_items(network, nearest), network, others)
        after = divergence(with_items(network, rounded.items), network, others)
        closer += after < before
    assert closer >= 9


def rounded_flat(network, images, clusters=3):
    return run(network, share_model(network, clusters), list(prunable_weights(network)), images)


def flat(dropout=0.5):
    torch.manual_seed(0)
    network = Flat(dropout).eval()
    network.norm.running_mean = torch.randn(4)
    return network


def test_the_network_is_not_changed():
    network = flat()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    random_state = torch.get_rng_state()
    images = [batch(6, seed=seed)[0] for seed in range(2)]
    kept = [one.clone() for one in images]
    rounded_flat(network, images)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not any(module.training for module in network.modules())
    assert not any(module._forward_pre_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(one, other) for one, other in zip(images, kept, strict=True))
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_it_gives_the_same_twice_and_in_both_memory_formats(memory_format):
    images = [batch(40, 16, seed=seed)[0] for seed in range(2)]
    _, first = rounded_flat(flat(), images)
    network = flat().to(memory_format=memory_format)
    _, again = rounded_flat(network, [one.to(memory_format=memory_format) for one in images])
    for name, item in first.items.items():
        other = again.items[name]
        assert torch.equal(item.indices, other.indices)
        if memory_format == torch.contiguous_format:
            assert torch.equal(item.centroids, other.centroids)
        else:
            torch.testing.assert_close(item.centroids, other.centroids)


def test_each_layer_is_rounded_on_what_the_layers_before_it_became():
    network = flat()
    images = [batch(40)[0]]
    nearest = share_model(network, 3)
    names = list(prunable_weights(network))
    events, rounded = run(network, nearest, names, images)
    first = measure_inputs(network, network, "conv.weight", 1, images)
    items = {"conv.weight": round_layer(network.conv, nearest["conv.weight"], first).item}
    inputs = measure_inputs(with_items(network, items), network, "head.weight", 1, images)
    items["head.weight"] = round_layer(network.head, nearest["head.weight"], inputs).item
    for name, item in items.items():
        assert torch.equal(item.decode(), rounded.items[name].decode())
    assert all(isinstance(event, Progress) for event in events)
    said = [(event.stage, event.done, event.total, event.unit) for event in events]
    assert said == [("Compensated rounding", done, 2, "layers") for done in (0, 1)]


def test_layers_that_are_not_named_are_used_as_they_are():
    network = flat()
    images = [batch(40)[0]]
    nearest = share_model(network, 2)
    _, rounded = run(network, nearest, ["head.weight"], images)
    assert list(rounded.items) == ["head.weight"]
    items = {"conv.weight": nearest["conv.weight"]}
    inputs = measure_inputs(with_items(network, items), network, "head.weight", 1, images)
    expected = round_layer(network.head, nearest["head.weight"], inputs).item
    assert torch.equal(rounded.items["head.weight"].decode(), expected.decode())


class Skipping(nn.Module):
    """Uses the weight of one layer without calling it."""

    def __init__(self):
        super().__init__()
        self.used = nn.Linear(3, 3)
        self.read = nn.Linear(3, 3)

    def forward(self, x):
        return F.linear(torch.relu(self.used(x)), self.read.weight)


def test_a_layer_that_is_never_called_is_missing():
    torch.manual_seed(0)
    network = Skipping().eval()
    nearest = share_model(network, 2)
    events, rounded = run(network, nearest, list(nearest), [torch.randn(20, 3)])
    assert list(rounded.items) == ["used.weight"]
    assert [event.total for event in events] == [1]


def test_a_weight_of_two_layers_is_rounded_once():
    torch.manual_seed(0)
    network = Tied().eval()
    nearest = share_model(network, 3)
    _, rounded = run(network, nearest, list(nearest), [torch.randn(20, 3)])
    assert list(rounded.items) == ["first.weight"]
    assert network.first.weight is network.second.weight


class Overflowing(nn.Module):
    """The values of the first column leave it infinite."""

    def forward(self, x):
        return x * torch.tensor([torch.inf, 1.0, 1.0, 1.0])


def test_a_layer_whose_inputs_are_not_finite_stays_at_the_nearest_levels():
    layers = [nn.Linear(3, 4), Overflowing(), nn.Linear(4, 4), nn.Linear(4, 2)]
    network = nn.Sequential(*layers).eval()
    nearest = share_model(network, 2)
    _, rounded = run(network, nearest, list(nearest), [torch.randn(20, 3)])
    assert list(rounded.items) == ["0.weight"]


@pytest.mark.parametrize("clusters", [0, 5])
def test_two_images_are_enough(clusters):
    network = flat()
    nearest = share_model(network, clusters) if clusters else quantize_model(network, 4, 0)
    _, rounded = run(network, nearest, list(nearest), [batch(2)[0]])
    for item in rounded.items.values():
        assert bool(item.decode().isfinite().all())


def test_what_it_says():
    _, rounded = rounded_flat(flat(), [batch(40)[0]])
    nearest = sum(layer.nearest_error for layer in rounded.layers.values())
    removed = 1 - sum(layer.error for layer in rounded.layers.values()) / nearest
    said = rounded.describe(1234)
    assert said.startswith("Compensated rounding on 1,234 training images, without labels, took ")
    assert said.endswith(f" s. It removed {removed:.0%} of the output errors of the layers.")
