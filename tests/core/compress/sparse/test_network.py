"""Networks pruned with compensation: closer answers on other images, and the same every time."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core.compress.compensation.inputs import measure_inputs
from core.compress.sparse.layer import prune_layer, without_smallest
from core.compress.sparse.network import prune_network
from core.events import Progress, result_of
from core.models.parameters import prunable_weights
from tests.toys import Flat, Tied, batch


def flat():
    torch.manual_seed(0)
    network = Flat(dropout=0.5).eval()
    network.norm.running_mean = torch.randn(4)
    return network


def counts(network, density):
    return {
        name: round(density * weight.numel()) for name, weight in prunable_weights(network).items()
    }


def with_weights(network, weights):
    result = copy.deepcopy(network)
    result.load_state_dict(weights, strict=False)
    return result


def test_answers_on_other_images_come_closer_than_with_the_largest_weights():
    closer = 0
    for seed in range(10):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            nn.Conv2d(8, 8, 3, groups=8, bias=False),
            nn.Conv2d(8, 16, 1),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(16, 10),
        ).eval()
        images = batch(300, seed=seed)[0]
        others = batch(200, seed=100 + seed)[0]
        kept = counts(network, 0.4)
        sparse = result_of(prune_network(network, kept, images.split(100)))
        largest = {
            name: without_smallest(weight, kept[name])[0]
            for name, weight in prunable_weights(network).items()
        }
        with torch.no_grad():
            expected = network(others)
            error = (with_weights(network, sparse.weights)(others) - expected).square().sum()
            before = (with_weights(network, largest)(others) - expected).square().sum()
        closer += bool(error < before)
    assert closer >= 9


def test_counts_and_zeros_are_exact():
    network = flat()
    kept = {"conv.weight": 31, "head.weight": 7}
    sparse = result_of(prune_network(network, kept, [batch(40)[0]]))
    assert list(sparse.weights) == list(sparse.masks) == list(kept)
    for name, weight in sparse.weights.items():
        mask = sparse.masks[name]
        parameter = network.get_parameter(name)
        assert int(mask.sum()) == kept[name]
        assert mask.dtype == torch.bool
        assert weight.shape == mask.shape == parameter.shape
        assert weight.dtype == parameter.dtype
        assert torch.equal(weight[~mask], torch.zeros(int((~mask).sum())))


def test_the_network_is_not_changed_and_the_result_is_the_same_twice():
    network = flat()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    random_state = torch.get_rng_state()
    images = [batch(6, seed=seed)[0] for seed in range(2)]
    first = result_of(prune_network(network, counts(network, 0.5), images))
    again = result_of(prune_network(network, counts(network, 0.5), images))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not any(module._forward_pre_hooks for module in network.modules())
    assert torch.equal(torch.get_rng_state(), random_state)
    for name, weight in first.weights.items():
        assert torch.equal(weight, again.weights[name])
        assert torch.equal(first.masks[name], again.masks[name])


def test_each_layer_is_pruned_on_what_the_layers_before_it_became():
    network = flat()
    images = [batch(40)[0]]
    kept = counts(network, 0.5)
    pruning = prune_network(network, kept, images)
    events = []
    while True:
        try:
            events.append(next(pruning))
        except StopIteration as end:
            sparse = end.value
            break
    first = measure_inputs(network, network, "conv.weight", 1, images)
    weights = {"conv.weight": prune_layer(network.conv.weight, 54, first).weight}
    inputs = measure_inputs(with_weights(network, weights), network, "head.weight", 1, images)
    weights["head.weight"] = prune_layer(network.head.weight, 10, inputs).weight
    assert kept == {"conv.weight": 54, "head.weight": 10}
    for name, weight in weights.items():
        assert torch.equal(weight, sparse.weights[name])
    assert all(isinstance(event, Progress) for event in events)
    said = [(event.stage, event.done, event.total, event.unit) for event in events]
    assert said == [("Compensated pruning", done, 2, "layers") for done in (0, 1)]


def test_layers_that_are_not_named_stay_as_they_are():
    network = flat()
    images = [batch(40)[0]]
    sparse = result_of(prune_network(network, {"head.weight": 8}, images))
    assert list(sparse.weights) == ["head.weight"]
    inputs = measure_inputs(network, network, "head.weight", 1, images)
    expected = prune_layer(network.head.weight, 8, inputs)
    assert torch.equal(sparse.weights["head.weight"], expected.weight)


def test_no_layers():
    sparse = result_of(prune_network(flat(), {}, [batch(4)[0]]))
    assert sparse.weights == {}
    assert "removed 0%" in sparse.describe(4)


def test_a_weight_that_two_layers_share():
    network = Tied().eval()
    images = [torch.randn(50, 3, generator=torch.Generator().manual_seed(0))]
    sparse = result_of(prune_network(network, {"first.weight": 5}, images))
    assert int(sparse.masks["first.weight"].sum()) == 5
    assert torch.equal(sparse.weights["first.weight"] != 0, sparse.masks["first.weight"])


class Twice(nn.Module):
    """Calls one layer twice."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x):
        return self.layer(torch.relu(self.layer(x)))


def test_a_layer_that_is_called_twice():
    torch.manual_seed(0)
    sparse = result_of(prune_network(Twice().eval(), {"layer.weight": 18}, [torch.randn(50, 6)]))
    layer = sparse.layers["layer.weight"]
    assert int(layer.mask.sum()) == 18
    assert layer.error < layer.magnitude_error


class Skipping(nn.Module):
    """Uses the weight of one layer without calling it."""

    def __init__(self):
        super().__init__()
        self.used = nn.Linear(3, 3)
        self.read = nn.Linear(3, 3)

    def forward(self, x):
        return F.linear(torch.relu(self.used(x)), self.read.weight)


def test_a_layer_that_is_never_called_loses_its_smallest_weights():
    torch.manual_seed(0)
    network = Skipping().eval()
    kept = {"used.weight": 4, "read.weight": 4}
    sparse = result_of(prune_network(network, kept, [torch.randn(20, 3)]))
    weight, mask = without_smallest(network.read.weight, 4)
    assert torch.equal(sparse.weights["read.weight"], weight)
    assert torch.equal(sparse.masks["read.weight"], mask)
    assert list(sparse.layers) == ["used.weight"]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_activations_that_are_not_finite(value):
    network = flat()
    network.conv.bias.data[0] = value
    sparse = result_of(prune_network(network, counts(network, 0.5), [batch(20)[0]]))
    weight, _ = without_smallest(network.head.weight, 10)
    assert torch.equal(sparse.weights["head.weight"], weight)
    assert all(bool(weight.isfinite().all()) for weight in sparse.weights.values())


def test_a_pruned_parent_keeps_its_zeros():
    network = flat()
    weight, mask = without_smallest(network.conv.weight, 60)
    network.conv.weight.data.copy_(weight)
    sparse = result_of(prune_network(network, {"conv.weight": 40}, [batch(40)[0]]))
    assert not bool((sparse.masks["conv.weight"] & ~mask).any())


def test_it_can_be_stopped():
    network = flat()
    pruning = prune_network(network, counts(network, 0.5), [batch(20)[0]])
    next(pruning)
    pruning.close()
    assert not any(module._forward_pre_hooks for module in network.modules())
    assert not any("forward" in vars(module) for module in network.modules())
