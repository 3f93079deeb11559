"""Pruning a trained network: counts and masks against torch's own pruning, the schedule by hand."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from core.compress.masks import counts as mask_counts
from core.compress.masks import keep_top
from core.compress.pruning.gradual import cubic_density, pruning_steps
from core.compress.pruning.random_scores import erk_scores, uniform_plus_scores
from core.compress.pruning.trained import (
    choose_counts,
    density_of,
    keep_highest,
    spared_layers,
    without_zeros,
)
from core.config import PruneRecipe
from core.errors import UserError
from core.models.parameters import prunable_weights

ANY = torch.Generator().manual_seed(0)


@pytest.fixture
def model():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 16, 3, bias=False), nn.Linear(16, 10)
    )


def magnitudes(model):
    weights = prunable_weights(model)
    return without_zeros({name: weight.detach().abs() for name, weight in weights.items()}, weights)


def masks_of(model, density, layer_densities="global", spared=()):
    scores = magnitudes(model)
    weights = prunable_weights(model)
    return keep_highest(scores, choose_counts(scores, weights, density, layer_densities, spared))


@pytest.mark.parametrize("density", [0.9, 0.5, 0.1, 0.013])
def test_global_magnitude_is_that_of_torch(model, density):
    masks = masks_of(model, density)
    layers = [module for module in model if hasattr(module, "weight") and module.weight.ndim > 1]
    parameters = [(layer, "weight") for layer in layers]
    total = sum(layer.weight.numel() for layer in layers)
    cut = total - round(density * total)
    prune.global_unstructured(parameters, pruning_method=prune.L1Unstructured, amount=cut)
    for mask, layer in zip(masks.values(), layers, strict=True):
        assert torch.equal(mask, layer.weight_mask.bool())


@pytest.mark.parametrize("density", [0.9, 0.5, 0.1])
def test_layerwise_magnitude_is_that_of_torch(model, density):
    masks = masks_of(model, density, "layerwise")
    layers = [module for module in model if hasattr(module, "weight") and module.weight.ndim > 1]
    for mask, layer in zip(masks.values(), layers, strict=True):
        weights = layer.weight.numel()
        prune.l1_unstructured(layer, "weight", amount=weights - round(density * weights))
        assert torch.equal(mask, layer.weight_mask.bool())


@pytest.mark.parametrize(
    ("layer_densities", "random"), [("erk", erk_scores), ("uniform+", uniform_plus_scores)]
)
@pytest.mark.parametrize("density", [0.6, 0.2, 0.05])
def test_budgets_are_those_of_the_methods_before_training(model, density, layer_densities, random):
    masks = masks_of(model, density, layer_densities)
    expected = keep_top(random(prunable_weights(model), ANY), density)
    assert mask_counts(masks) == mask_counts(expected)
    for name, mask in masks.items():
        magnitude = model.get_parameter(name).abs()
        assert mask.all() or magnitude[mask].min() > magnitude[~mask].max()


def test_a_spared_layer_keeps_all_and_the_total_is_exact(model):
    names = list(prunable_weights(model))
    total = sum(weight.numel() for weight in prunable_weights(model).values())
    masks = masks_of(model, 0.5, spared=[names[0], names[-1]])
    assert masks[names[0]].all()
    assert masks[names[-1]].all()
    assert sum(int(mask.sum()) for mask in masks.values()) == round(0.5 * total)


def test_spared_layers_need_room(model):
    names = list(prunable_weights(model))
    with pytest.raises(UserError, match=r"^density 0\.01 keeps 15 weights, and the spared layers"):
        masks_of(model, 0.01, spared=names[:1])
    with pytest.raises(UserError, match="spared layers"):
        masks_of(model, 0.01, spared=names)


def test_the_first_and_the_last_layer_can_be_spared():
    names = ["a.weight", "b.weight", "c.weight"]
    assert spared_layers(PruneRecipe(), names) == []
    assert spared_layers(PruneRecipe(spare_first=True), names) == ["a.weight"]
    assert spared_layers(PruneRecipe(spare_first=True, spare_last=True), names) == [
        "a.weight",
        "c.weight",
    ]


@pytest.mark.parametrize("layer_densities", ["global", "layerwise", "erk", "uniform+"])
def test_what_was_pruned_before_never_comes_back(model, layer_densities):
    weights = prunable_weights(model)
    before = masks_of(model, 0.3)
    with torch.no_grad():
        for name, mask in before.items():
            weights[name].masked_fill_(~mask, 0.0)
    assert density_of(weights) == pytest.approx(0.3, abs=1e-3)
    after = masks_of(model, 0.2, layer_densities)
    for name, mask in after.items():
        assert not (mask & ~before[name]).any()


def test_random_scores_of_zeros_are_below_all_others():
    weights = {"w": torch.tensor([0.0, 1.0, 0.0, 2.0])}
    scores = without_zeros({"w": torch.tensor([0.9, 0.0, 0.8, 0.1])}, weights)
    assert scores["w"].tolist() == pytest.approx([-1.0, 0.0, -1.0, 0.1])
    assert keep_highest(scores, {"w": 2})["w"].tolist() == [False, True, False, True]


# -- the cubic schedule of Zhu and Gupta, equation 1 --


def test_the_cubic_schedule_by_hand():
    """From 1 to 0.2 in four prunings: 0.2 + 0.8 (3/4)^3, 0.2 + 0.8 (1/2)^3, ..."""
    densities = [cubic_density(1.0, 0.2, k / 4) for k in range(5)]
    assert densities == pytest.approx([1.0, 0.5375, 0.3, 0.2125, 0.2])


def test_the_schedule_is_the_papers_in_sparsity():
    start, end = 0.9, 0.1
    for fraction in (0.0, 0.3, 0.77, 1.0):
        first_sparsity = 1 - start
        final_sparsity = 1 - end
        sparsity = final_sparsity + (first_sparsity - final_sparsity) * (1 - fraction) ** 3
        assert cubic_density(start, end, fraction) == pytest.approx(1 - sparsity)


@pytest.mark.parametrize(
    ("steps", "every", "expected"),
    [(10, 3, [3, 6, 9]), (10, 10, [10]), (10, 11, [10]), (4, 1, [1, 2, 3, 4])],
)
def test_the_steps_after_which_it_is_pruned(steps, every, expected):
    assert pruning_steps(steps, every) == expected
