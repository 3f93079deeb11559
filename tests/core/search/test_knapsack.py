"""The knapsack against brute force, and what must hold for any options."""

import itertools
import random

import pytest

from core.search.knapsack import OptionCost, best_selection_within, best_selections

SEEDS = range(25)


def random_options(seed, layers=4, most=4):
    draw = random.Random(seed)
    return {
        f"layer{number}": [
            OptionCost(draw.randrange(0, 30), draw.choice([0.0, 0.5, 1.0, draw.random()]))
            for _ in range(draw.randint(1, most))
        ]
        for number in range(layers)
    }


def all_selections(options):
    """(bytes, damage) of every combination of options."""
    for costs in itertools.product(*options.values()):
        yield sum(cost.bytes for cost in costs), sum(cost.damage for cost in costs)


def least_damage(options, most_bytes):
    damages = [damage for size, damage in all_selections(options) if size <= most_bytes]
    return min(damages, default=None)


@pytest.mark.parametrize("seed", SEEDS)
def test_it_is_as_good_as_trying_everything(seed):
    options = random_options(seed)
    selections = best_selections(options)
    for most_bytes in range(0, 130, 7):
        best = best_selection_within(selections, most_bytes)
        expected = least_damage(options, most_bytes)
        if expected is None:
            assert best is None
        else:
            assert best is not None
            assert best.bytes <= most_bytes
            assert best.damage == pytest.approx(expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_sums_are_those_of_the_choices(seed):
    options = random_options(seed, layers=7, most=5)
    for selection in best_selections(options, most_points=20):
        costs = [options[name][index] for name, index in selection.choices.items()]
        assert selection.choices.keys() == options.keys()
        assert selection.bytes == sum(cost.bytes for cost in costs)
        assert selection.damage == pytest.approx(sum(cost.damage for cost in costs))


@pytest.mark.parametrize("most_points", [5, 4096])
@pytest.mark.parametrize("seed", SEEDS)
def test_more_bytes_are_never_worse(seed, most_points):
    selections = best_selections(random_options(seed, layers=8), most_points)
    sizes = [selection.bytes for selection in selections]
    damages = [selection.damage for selection in selections]
    assert sizes == sorted(set(sizes))
    assert damages == sorted(set(damages), reverse=True)
    assert len(selections) <= max(most_points, 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_thinned_set_still_has_the_smallest_selection_and_the_least_damage(seed):
    options = random_options(seed, layers=8)
    thinned = best_selections(options, most_points=6)
    exact = best_selections(options)
    assert thinned[0].bytes == exact[0].bytes
    assert thinned[-1].damage == pytest.approx(exact[-1].damage)


def test_an_example_by_hand():
    options = {
        "a": [OptionCost(10, 1.0), OptionCost(20, 0.0)],
        "b": [OptionCost(5, 4.0), OptionCost(8, 1.0)],
    }
    found = [(selection.bytes, selection.damage) for selection in best_selections(options)]
    assert found == [(15, 5.0), (18, 2.0), (28, 1.0)]
    best = best_selection_within(best_selections(options), 27)
    assert best is not None
    assert best.choices == {"a": 0, "b": 1}


def test_sixty_layers_with_twelve_options_are_thinned_to_the_cap():
    draw = random.Random(0)
    options = {
        str(layer): [OptionCost(draw.randrange(100, 10_000), draw.random()) for _ in range(12)]
        for layer in range(60)
    }
    selections = best_selections(options)
    assert 100 < len(selections) <= 4096
    smallest = sum(min(cost.bytes for cost in costs) for costs in options.values())
    assert selections[0].bytes == smallest
