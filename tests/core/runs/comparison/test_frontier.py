"""The Pareto frontier of runs."""

from core.runs.comparison.frontier import frontier


def test_the_frontier_by_hand():
    points = [(1, 0.5), (2, 0.9), (3, 0.8), (4, 0.95), (2, 0.7)]
    assert frontier(points) == [0, 1, 3]


def test_equal_points_are_on_the_frontier_together():
    assert frontier([(1, 0.5), (1, 0.5), (2, 0.5)]) == [0, 1]


def test_of_the_same_size_only_the_best_is_on_the_frontier():
    assert frontier([(1, 0.5), (1, 0.6), (2, 0.6)]) == [1]


def test_the_directions_of_the_frontier():
    points = [(1, 1), (2, 2), (1, 2), (2, 1)]
    best = {(True, True): [1], (True, False): [3], (False, True): [2], (False, False): [0]}
    for (more_x, more_y), indices in best.items():
        assert frontier(points, more_x, more_y) == indices


def test_the_frontier_of_nothing_and_of_one():
    assert frontier([]) == []
    assert frontier([(3, 4)]) == [0]
