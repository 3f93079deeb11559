"""Lists of settings become the recipes of every combination."""

import itertools
from typing import Any

import pytest

from core.config import AffineRecipe, KMeansRecipe, TrainRecipe
from core.errors import UserError
from core.runs.sweeps.grid import MOST_CHAINS, Grid, Lists, combinations


def test_combinations_are_those_of_nested_loops():
    lists: Lists = {"prune.density": [0.1, 0.2], "seed": [0, 1], "lr": [0.1, 0.2, 0.3]}
    found = list(combinations(lists))
    expected = [
        {"seed": seed, "lr": lr, "prune": {"density": density}}
        for seed, lr, density in itertools.product([0, 1], [0.1, 0.2, 0.3], [0.1, 0.2])
    ]
    assert found == expected


def test_seeds_vary_slowest_and_densities_fastest():
    lists: Lists = {
        "prune.density": [0.1, 0.2],
        "prune.method": ["snip", "random"],
        "seed": [0, 1],
    }
    recipes: list[Any] = [chain[0] for chain in Grid(lists).chains()]
    assert [recipe.seed for recipe in recipes] == [0] * 4 + [1] * 4
    assert [recipe.prune.density for recipe in recipes[:2]] == [0.1, 0.2]
    assert [recipe.prune.method for recipe in recipes[:4]] == ["snip"] * 2 + ["random"] * 2


def test_everything_kept_is_one_dense_network_whatever_the_method():
    lists: Lists = {
        "prune.density": [1, 0.1],
        "prune.method": ["snip", "random"],
        "lr": [0.1, 0.1],
    }
    recipes: list[Any] = [chain[0] for chain in Grid(lists).chains()]
    assert [recipe.density for recipe in recipes] == [1, 0.1, 0.1]
    assert recipes[0].prune is None


def test_a_training_is_followed_by_every_quantization():
    grid = Grid({"seed": [3]}, {"clusters": [8, 5]}, {"bits": [8, 4]})
    chains = grid.chains()
    assert len(chains) == 4
    train, kmeans, affine = chains[1]
    assert isinstance(train, TrainRecipe)
    assert isinstance(kmeans, KMeansRecipe)
    assert isinstance(affine, AffineRecipe)
    assert (kmeans.clusters, affine.bits) == (8, 4)
    assert train.seed == kmeans.seed == affine.seed == 3


def test_a_trained_network_is_only_quantized():
    grid = Grid(None, {"clusters": [8, 5], "rounding": ["nearest", "compensated"]})
    recipes: list[Any] = [chain[0] for chain in grid.chains()]
    assert [(recipe.clusters, recipe.rounding) for recipe in recipes] == [
        (8, "nearest"),
        (8, "compensated"),
        (5, "nearest"),
        (5, "compensated"),
    ]


def test_errors_name_what_was_typed():
    grid = Grid({"prune.density": [0.1, 5]}, names={"prune.density": "--retrain"})
    with pytest.raises(UserError, match=r"--retrain must be in \(0, 1\], got 5"):
        grid.chains()


def test_too_many_combinations_are_refused_before_any_recipe_is_made():
    lists = {"seed": range(100), "lr": [0.1 + 0.001 * i for i in range(100)], "epochs": [0]}
    with pytest.raises(UserError, match=rf"at most {MOST_CHAINS:,} combinations.*10,000"):
        Grid(lists).chains()


def test_every_training_is_fitted_into_every_budget():
    grid = Grid(
        {"prune.density": [1, 0.5], "seed": [3]},
        budget={"bytes": [2000, 1000], "minutes": [1], "kinds": [("share",), ("share", "prune")]},
    )
    chains: list[Any] = grid.chains()
    assert [(train.density, budget.bytes, budget.kinds) for train, budget in chains] == list(
        itertools.product([1, 0.5], [2000, 1000], [("share",), ("share", "prune")])
    )
    assert {budget.seed for _, budget in chains} == {3}
    assert {budget.minutes for _, budget in chains} == {1}


def test_a_trained_network_is_only_fitted():
    recipes: list[Any] = [chain[0] for chain in Grid(budget={"lose": [0.5, 1]}).chains()]
    assert [recipe.lose for recipe in recipes] == [0.5, 1]


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"affine": {"bits": [4]}}, "A budget finds clusters and bits itself"),
        ({"budget": {"bytes": [9], "lose": [1]}}, "takes exactly one of bytes"),
        ({"budget": {"bytes": range(1, MOST_CHAINS + 2)}}, "at most 1,000 combinations"),
    ],
)
def test_budgets_that_are_refused(lists, message):
    with pytest.raises(UserError, match=message):
        Grid(**({"budget": {"bytes": [1000]}} | lists)).chains()
