"""The prunable weights of a network, and their names."""

from torch import nn

from core.models.parameters import batchnorm_weights, prunable_weights


def test_prunable_skips_biases_and_batchnorm_and_keeps_module_order():
    linear = nn.Linear(4, 2)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.Sequential(nn.Flatten(), linear),
        nn.Conv1d(1, 1, 1),
        nn.Embedding(3, 3),
    )
    weights = prunable_weights(network)
    assert list(weights) == ["0.weight", "2.1.weight"]
    assert weights["2.1.weight"] is linear.weight


def test_prunable_names_a_shared_weight_once():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[1].weight = network[0].weight
    assert list(prunable_weights(network)) == ["0.weight"]
    layer = nn.Linear(2, 2)
    assert list(prunable_weights(nn.ModuleDict({"a": layer, "b": layer}))) == ["a.weight"]


def test_prunable_finds_a_weight_tied_to_an_embedding_under_its_first_name():
    network = nn.ModuleDict({"embed": nn.Embedding(5, 3), "out": nn.Linear(3, 5)})
    network["out"].weight = network["embed"].weight
    assert list(prunable_weights(network)) == ["embed.weight"]


def test_batchnorm_weights_are_the_learned_scales():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=False))
    weights = batchnorm_weights(network)
    assert list(weights) == ["1.weight"]
    assert weights["1.weight"] is network[1].weight
