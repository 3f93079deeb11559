"""Layer densities by hand, and against the algorithm that fills the layers one after the other."""

import pytest
import torch

from core import models
from core.compress import masks
from core.compress.pruning.random_scores import erk_scores, random_scores, uniform_plus_scores
from core.compress.pruning.saliency import SALIENCIES, ScoringOptions
from core.compress.pruning.scoring_images import ScoringBatch
from core.compress.pruning.seeds import derived_seed
from core.models.parameters import prunable_weights
from tests import toys

SMALL = {"a": (4, 3, 3, 3), "b": (8, 4, 3, 3), "c": (5, 8)}  # 108, 288 and 40 weights
LARGE = {"first": (4, 3, 3, 3), "b": (16, 4, 3, 3), "c": (16, 16, 3, 3), "last": (10, 16)}
DENSITIES = [0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.37, 0.5, 0.8, 0.95, 1.0]


def tensors(shapes):
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def kept(scores, density):
    return {
        name: count for name, (count, _) in masks.counts(masks.keep_top(scores, density)).items()
    }


@pytest.mark.parametrize(
    ("density", "expected"),
    [
        # 109 weights in the ratio 13 : 18 : 13 of the shapes' sums are 32.2, 44.6 and 32.2.
        (0.25, {"a": 32, "b": 45, "c": 32}),
        # 218 would be 64.4, 89.2 and 64.4. The last layer has 40, and 178 are 74.6 and 103.4.
        (0.5, {"a": 75, "b": 103, "c": 40}),
        (1.0, {"a": 108, "b": 288, "c": 40}),
    ],
)
def test_erk_by_hand(density, expected):
    assert kept(erk_scores(tensors(SMALL), generator()), density) == expected


@pytest.mark.parametrize(
    ("density", "expected"),
    [
        # 315: the floors of 108 and of 20% of 160, and 175 of the other 2,880 weights.
        (0.1, {"first": 108, "b": 35, "c": 140, "last": 32}),
        # 1,889: 108, and 1,781 of the other 3,040 weights. 58.6% of the last layer is above 20%.
        (0.6, {"first": 108, "b": 337, "c": 1350, "last": 94}),
        # 63: half for the floors, 24.3 and 7.2, and half for the others, 6.3 and 25.2.
        (0.02, {"first": 25, "b": 6, "c": 25, "last": 7}),
    ],
)
def test_uniform_plus_by_hand(density, expected):
    assert kept(uniform_plus_scores(tensors(LARGE), generator()), density) == expected


def test_a_network_of_two_layers_has_no_floors():
    scores = uniform_plus_scores(tensors({"first": (4, 3, 3, 3), "last": (5, 20)}), generator())
    assert kept(scores, 0.1) == {"first": 11, "last": 10}


def filled_one_after_the_other(shapes, total):
    """The number of weights of each layer by the algorithm of the ERK paper's code, in floats."""
    full: set[str] = set()
    while True:
        rest = total - sum(torch.Size(shapes[name]).numel() for name in full)
        level = rest / sum(sum(shape) for name, shape in shapes.items() if name not in full)
        too_full = {
            name
            for name, shape in shapes.items()
            if name not in full and level * sum(shape) > torch.Size(shape).numel()
        }
        if not too_full:
            break
        full |= too_full
    return {
        name: torch.Size(shape).numel() if name in full else level * sum(shape)
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("name", ["LeNet5", "ResNet20"])
def test_erk_is_the_papers_and_every_total_is_exact(name, density):
    weights = prunable_weights(models.build(name, 10))
    shapes = {layer: tuple(weight.shape) for layer, weight in weights.items()}
    total = round(density * sum(weight.numel() for weight in weights.values()))
    found = kept(erk_scores(weights, generator()), density)
    assert sum(found.values()) == total
    for layer, count in filled_one_after_the_other(shapes, total).items():
        assert abs(found[layer] - count) < 1.5, layer  # the others' rounding moves the level


@pytest.mark.parametrize("density", DENSITIES)
def test_uniform_plus_keeps_its_floors_and_every_total_is_exact(density):
    weights = prunable_weights(models.build("ResNet20", 10))
    sizes = {name: weight.numel() for name, weight in weights.items()}
    found = kept(uniform_plus_scores(weights, generator()), density)
    assert sum(found.values()) == round(density * sum(sizes.values()))
    first, *others, last = found
    floors = sizes[first] + 0.2 * sizes[last]
    if floors <= 0.5 * sum(found.values()):
        assert found[first] == sizes[first]
        assert found[last] >= 0.2 * sizes[last] - 1
    else:
        assert found[first] + found[last] == pytest.approx(0.5 * sum(found.values()), abs=10)
    shares = [found[name] / sizes[name] for name in others]
    assert max(shares) - min(shares) <= 1 / min(sizes[name] for name in others)


@pytest.mark.parametrize("draw", [erk_scores, uniform_plus_scores, random_scores])
def test_the_seed_decides_which_weights_stay(draw):
    weights = tensors(LARGE)
    first, again, other = (
        masks.keep_top(draw(weights, generator(seed)), 0.3) for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["c"], other["c"])


@pytest.mark.parametrize("method", ["random", "erk", "uniform+"])
def test_random_scores_do_not_follow_the_weights_of_the_same_seed(method):
    """A linear layer is made of the first numbers that a seed gives, and so were its scores."""
    torch.manual_seed(7)
    layer = torch.nn.Linear(300, 50, bias=False)
    batch = ScoringBatch(*toys.batch(), share=1.0)
    weights = {name: weight.detach() for name, weight in prunable_weights(layer).items()}
    scores = SALIENCIES[method](layer, weights, batch, ScoringOptions(seed=7))["weight"]
    ranks = scores.flatten().argsort().argsort().float()
    values = torch.stack([ranks, layer.weight.detach().flatten()])
    assert abs(float(torch.corrcoef(values)[0, 1])) < 0.03


def test_derived_seeds_differ_and_fit_into_63_bits():
    seeds = [0, 1, 2**32, 2**63 - 1]
    found = [derived_seed(seed, "pruning") for seed in seeds]
    found += [derived_seed(seed, "reinitialization") for seed in seeds]
    assert len({*found, *seeds}) == 12
    assert all(0 <= seed < 2**63 for seed in found)
    assert derived_seed(1, "pruning") == found[1]
