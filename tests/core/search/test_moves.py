"""Moving bytes between layers, on a table that a reader can check by hand."""

import torch

from core.compress.affine import quantize
from core.events import result_of
from core.search.memory import MeasuredOption
from core.search.moves import bytes_of, exchange, step_down
from core.search.options import LayerOption


def layer(*costs):
    """Options of these (bytes, damage)."""
    item = quantize(torch.ones(2, 2))
    return [
        MeasuredOption(LayerOption("bits", 2 + place), item, size, damage)
        for place, (size, damage) in enumerate(costs)
    ]


TABLE = {
    "a": layer((10, 9.0), (20, 4.0), (30, 1.0)),
    "b": layer((10, 3.0), (20, 2.0), (30, 1.5)),
    "c": layer((10, 0.5), (15, 0.2)),
}


def summed(steps):
    return sum(TABLE[name][step].damage for name, step in steps.items())


def test_bytes_move_to_the_layer_that_gains_most():
    start = {"a": 0, "b": 2, "c": 0}
    best = result_of(exchange(TABLE, start, 50, summed, trials=20))
    assert best == {"a": 2, "b": 0, "c": 0}
    assert bytes_of(TABLE, best) == 50


def test_spare_bytes_are_used():
    best = result_of(exchange(TABLE, {"a": 0, "b": 0, "c": 0}, 44, summed, trials=20))
    assert best == {"a": 1, "b": 0, "c": 0}


def test_the_measurement_decides_and_not_the_table():
    """The network needs layer b, although the table says otherwise."""

    def measured(steps):
        return -steps["b"]

    start = {"a": 1, "b": 0, "c": 0}
    best = result_of(exchange(TABLE, start, bytes_of(TABLE, start), measured, trials=50))
    assert best["b"] == 1
    assert result_of(exchange(TABLE, start, 40, measured, trials=0)) == start


def test_nothing_is_measured_twice_nor_over_the_bytes():
    seen = []

    def measured(steps):
        assert bytes_of(TABLE, steps) <= 45
        seen.append(tuple(steps.values()))
        return summed(steps)

    result_of(exchange(TABLE, {"a": 0, "b": 0, "c": 0}, 45, measured, trials=100))
    assert len(seen) == len(set(seen)) <= 18


def test_one_step_down_saves_what_is_needed_at_the_least_damage():
    top = {"a": 2, "b": 2, "c": 1}
    assert step_down(TABLE, top, 5) == {"a": 2, "b": 2, "c": 0}
    assert step_down(TABLE, top, 6) == {"a": 2, "b": 1, "c": 1}


def test_many_steps_down_reach_the_smallest_and_no_further():
    top = {"a": 2, "b": 2, "c": 1}
    assert step_down(TABLE, top, 45) == {"a": 0, "b": 0, "c": 0}
    assert step_down(TABLE, top, 46) is None
    for saved in range(46):
        lower = step_down(TABLE, top, saved)
        assert lower is not None
        assert bytes_of(TABLE, lower) <= 75 - saved


def test_a_measurement_decides_between_steps_down():
    """The network needs layer c, whose step costs the least by the table."""
    steps = {"a": 2, "b": 2, "c": 1}
    by_table = step_down(TABLE, steps, 5)
    assert by_table == {"a": 2, "b": 2, "c": 0}
    measured = step_down(TABLE, steps, 5, lambda steps: summed(steps) - 10 * steps["c"])
    assert measured == {"a": 2, "b": 1, "c": 1}
