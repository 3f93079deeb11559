"""Charts that compare runs: what they draw from which numbers."""

import itertools
import math
import random

import pandas as pd
import pytest

from core.charts.compare.colours import MOST_COLOURS, coloured_names
from core.charts.compare.curves import curves_chart, curves_table, smoothed
from core.charts.compare.forest import forest_layout
from core.charts.compare.layers import layers_chart, layers_table
from core.charts.compare.map import map_chart, map_table
from core.charts.compare.picks import BRUSHED, PICKED
from core.charts.compare.points import Axis, scatter_table
from core.charts.compare.scatter import scatter_chart
from core.runs.comparison.compared import compared_runs
from core.runs.comparison.figures import METRICS
from core.runs.comparison.layers import LayerFigures
from core.runs.run import MODEL
from tests.sample_runs import RECIPE, sample_run

BYTES = Axis("bytes", True)
ACCURACY = Axis("accuracy", False)


@pytest.fixture
def runs(store):
    """Three runs: small and bad, larger and good, larger still and not better. One has no file."""
    made = [
        sample_run(store, name=name, test_accuracy=accuracy)
        for name, accuracy in (("small", 0.5), ("good", 0.9), ("large", 0.9), ("none", 0.8))
    ]
    for run, size in zip(made, (10, 100, 1000), strict=False):
        (run.path / MODEL).write_bytes(b"x" * size)
    (made[3].path / MODEL).unlink()
    return compared_runs(made, {run.id: run for run in made})


# -- the scatter plot --


def test_the_scatter_has_a_row_for_each_run_with_both_figures(runs):
    table = scatter_table(runs, BYTES, ACCURACY)
    assert table["run"].tolist() == ["small", "good", "large"]
    assert table["x"].tolist() == [10, 100, 1000]
    assert table["place"].tolist() == [1, 2, 0]
    assert table["number"].tolist() == ["1", "2", ""]
    assert table["change"].tolist() == ["no parent"] * 3
    assert table["y_low"].notna().all()
    assert table["x_low"].isna().all()


def test_the_chance_level_is_drawn_near_the_points_and_told_far_from_them(runs):
    table = scatter_table(runs, BYTES, ACCURACY)
    near = scatter_chart(table, BYTES, ACCURACY, chance=0.4).to_dict()
    assert "guessing gets" not in str(near["layer"][-1]["encoding"]["y"]["title"])
    low, _ = near["layer"][-1]["encoding"]["y"]["scale"]["domain"]
    assert low < 0.4
    far = scatter_chart(table, BYTES, ACCURACY, chance=0.001).to_dict()
    assert "guessing gets 0.1%" in far["layer"][-1]["encoding"]["y"]["title"]
    assert len(far["layer"]) == len(near["layer"]) - 2


def pairs_of_metrics():
    """All pairs. Those are quick that have each metric once on each axis, and on both."""
    names = list(METRICS)
    quick = {*zip(names, names[1:] + names[:1], strict=True), (names[0], names[0])}
    for pair in itertools.product(names, repeat=2):
        yield pytest.param(*pair, marks=() if pair in quick else pytest.mark.slow)


@pytest.mark.parametrize(("x", "y"), pairs_of_metrics())
def test_any_two_metrics_make_a_chart(runs, x, y):
    axes = Axis(x, METRICS[x].is_log), Axis(y, METRICS[y].is_log)
    table = scatter_table(runs, *axes)
    assert scatter_chart(table, *axes, chance=0.1).to_dict()


def test_a_log_axis_has_no_place_for_zero():
    assert Axis("bytes", False).shows(0)
    assert not Axis("bytes", True).shows(0)
    assert not Axis("bytes", False).shows(None)
    assert not Axis("accuracy", False).shows(math.nan)


# -- the map --


def test_the_map_of_two_trees_by_hand():
    parents = {"a": None, "b": "a", "c": "a", "d": "gone", "e": "c"}
    places = forest_layout(parents)
    assert places == {"b": (1, 0), "e": (2, 1), "c": (1, 1), "a": (0, 0.5), "d": (0, 2)}


@pytest.mark.parametrize("seed", range(20))
def test_no_two_nodes_overlap_and_children_are_right_of_their_parents(seed):
    chance = random.Random(seed)
    names = [str(number) for number in range(60)]
    parents = {
        name: chance.choice([None, *names[:place]]) if place else None
        for place, name in enumerate(names)
    }
    places = forest_layout(dict(chance.sample(list(parents.items()), len(parents))))
    assert places.keys() == parents.keys()
    for one, other in itertools.combinations(places.values(), 2):
        assert one.column != other.column or abs(one.row - other.row) >= 1
    for name, parent in parents.items():
        if parent is not None:
            assert places[name].column == places[parent].column + 1


def test_a_long_chain_is_no_problem_and_the_first_of_a_circle_is_a_root():
    chain = {str(number): str(number - 1) if number else None for number in range(1000)}
    assert forest_layout(chain)["999"] == (999, 0)
    assert forest_layout({}) == {}
    assert forest_layout({"c": "b", "a": "b", "b": "a"}) == {
        "c": (2, 0),
        "b": (1, 0),
        "a": (0, 0),
    }
    assert forest_layout({"a": "a"}) == {"a": (0, 0)}


def layer_of(chart, mark):
    """The layer with this mark, as plain data."""
    (layer,) = [layer for layer in chart["layer"] if layer["mark"]["type"] == mark]
    return layer


def test_the_size_of_the_nodes_is_a_metric_or_the_same_for_all(runs):
    table = map_table(runs, runs, "accuracy", "bytes")
    assert table["size"].tolist()[:3] == [10, 100, 1000]
    assert math.isnan(table["size"].tolist()[3])
    size = layer_of(map_chart(table, "accuracy", "bytes").to_dict(), "point")["encoding"]["size"]
    assert size["condition"]["field"] == "size"
    assert size["condition"]["legend"]["title"] == "Size on disk (bytes)"
    same = map_table(runs, runs, "accuracy")
    size = layer_of(map_chart(same, "accuracy").to_dict(), "point")["encoding"]["size"]
    assert "field" not in size["condition"]


def test_a_node_tells_each_figure_once(runs):
    def titles(colour, size):
        table = map_table(runs, runs, colour, size)
        nodes = layer_of(map_chart(table, colour, size).to_dict(), "point")
        return [tooltip["title"] for tooltip in nodes["encoding"]["tooltip"]]

    ends = ["Recipe", "Against its parent"]
    assert titles("accuracy", "accuracy") == ["Run", "Test accuracy", *ends]
    assert titles("accuracy", "bytes") == ["Run", "Test accuracy", "Size on disk", *ends]
    assert titles("bytes", None) == ["Run", "Size on disk", "Test accuracy", *ends]


def test_the_map_tells_chosen_runs_from_ancestors(runs):
    table = map_table(runs, runs[:1], "bytes")
    assert table["chosen"].tolist() == [True, False, False, False]
    assert table["row"].tolist() == [0, 1, 2, 3]
    assert table["value"].tolist()[:3] == [10, 100, 1000]
    assert table["recipe"].tolist() == ["LeNet5 · Digits · 10% kept"] * 4
    assert map_chart(table, "bytes").to_dict()


# -- the curves --


def test_smoothing_by_hand():
    assert smoothed([1.0, 2.0, 4.0], 0) == [1, 2, 4]
    assert smoothed([1.0, 2.0], 0.5) == pytest.approx([1, (2 + 0.5) / 1.5])
    assert smoothed([3.0] * 5, 0.9) == pytest.approx([3] * 5)
    assert smoothed([], 0.5) == []


def test_smoothing_passes_over_what_is_not_finite():
    first, second, third = smoothed([1.0, math.nan, 2.0], 0.5)
    assert (first, third) == (1, pytest.approx((2 + 0.5) / 1.5))
    assert math.isnan(second)


def epoch(number, **changes):
    row = {"epoch": number, "train_loss": 1.0, "test_loss": 2.0, "seconds": 30.0}
    return row | {"train_accuracy": 0.5, "test_accuracy": number / 10} | changes


def test_the_curves_by_epoch_and_by_time():
    epochs = {"a": [epoch(1), epoch(2)], "b": [epoch(1)]}
    names = {"a": "A", "b": "B"}
    table = curves_table(epochs, {"a": [1, 2], "b": [1]}, names, "accuracy", ("test",))
    assert table.values.tolist() == [
        ["a", "A", "test", 1, 0.1, 0.1],
        ["a", "A", "test", 2, 0.2, 0.2],
        ["b", "B", "test", 1, 0.1, 0.1],
    ]
    minutes = {"a": [0.5, 1], "b": [0.5]}
    by_time = curves_table(epochs, minutes, names, "loss", ("train", "test"), 0.5)
    assert by_time["x"].tolist() == [0.5, 1, 0.5, 1, 0.5, 0.5]
    assert by_time["series"].tolist()[:3] == ["train", "train", "test"]
    chart = curves_chart(by_time, ["A"], "loss", "time", ("train", "test")).to_dict()
    assert chart["title"] == "Training and test loss of 2 runs by time"


def test_an_epoch_that_ends_nowhere_is_left_out():
    epochs = {"a": [epoch(1), epoch(2)]}
    table = curves_table(epochs, {"a": [math.nan, 2]}, {"a": "A"}, "loss", ("test",))
    assert table["x"].tolist() == [2]


def test_many_long_curves_are_thinned_and_keep_their_end():
    epochs = {str(run): [epoch(number) for number in range(1, 301)] for run in range(200)}
    ends = dict.fromkeys(epochs, range(1, 301))
    table = curves_table(epochs, ends, {run: run for run in epochs}, "loss", ("test",))
    assert len(table) <= 20_000
    assert set(table.groupby("id")["x"].max()) == {300}


# -- what is picked --


def params_of(chart):
    return {param["name"]: param for param in chart["params"]}


def test_the_scatter_and_the_map_start_with_what_is_picked(runs):
    picked = [runs[1].id]
    scatter = scatter_chart(scatter_table(runs, BYTES, ACCURACY), BYTES, ACCURACY, picked=picked)
    params = params_of(scatter.to_dict())
    assert params[PICKED]["value"] == [{"id": runs[1].id}]
    assert params[BRUSHED]["select"]["type"] == "interval"
    map_params = params_of(
        map_chart(map_table(runs, runs, "bytes"), "bytes", None, picked).to_dict()
    )
    assert map_params[PICKED]["value"] == [{"id": runs[1].id}]
    nothing = scatter_chart(scatter_table(runs, BYTES, ACCURACY), BYTES, ACCURACY).to_dict()
    assert "value" not in params_of(nothing)[PICKED]


def test_the_lines_of_picked_runs_are_thick():
    epochs = {"a": [epoch(1), epoch(2)], "b": [epoch(1)]}
    ends = {"a": [1, 2], "b": [1]}
    table = curves_table(epochs, ends, {"a": "A", "b": "B"}, "loss", ("test",))
    chart = curves_chart(table, ["A", "B"], "loss", "step", ("test",), ["b"]).to_dict()
    (thick,) = chart["encoding"]["strokeWidth"]["condition"]
    assert thick["test"]["oneOf"] == ["b"]
    nothing = curves_chart(table, ["A", "B"], "loss", "step", ("test",)).to_dict()
    assert "strokeWidth" not in nothing["encoding"]


# -- the layers and the colours --


def test_the_layers_of_runs_side_by_side():
    layers = {
        "A": {"a.weight": LayerFigures(100, 20), "b.weight": LayerFigures(10, 10, bytes=5)},
        "B": {"a.weight": LayerFigures(100, 50)},
    }
    names = {"A": "one", "B": "two"}
    table = layers_table(layers, names, "density")
    assert table.values.tolist() == [
        ["A", "one", "a", 0, 0.2],
        ["A", "one", "b", 1, 1],
        ["B", "two", "a", 0, 0.5],
    ]
    assert layers_table(layers, names, "bits").values.tolist() == [["A", "one", "b", 1, 4.0]]
    assert layers_chart(table, ["one", "two"], "density").to_dict()


def test_the_layers_are_in_the_order_of_the_run_with_the_most():
    layer = LayerFigures(10, 5)
    layers = {
        "A": {"b.weight": layer, "other.weight": layer},
        "B": {"a.weight": layer, "b.weight": layer, "c.weight": layer},
    }
    table = layers_table(layers, {"A": "A", "B": "B"}, "density")
    places = dict(zip(table["layer"], table["place"], strict=True))
    assert places == {"a": 0, "b": 1, "c": 2, "other": 3}
    chart = layers_chart(table, ["A", "B"], "density").to_dict()
    assert chart["encoding"]["y"]["sort"] == ["a", "b", "c", "other"]


def test_a_few_runs_have_all_a_colour_and_of_many_the_best(store):
    recipe = RECIPE.model_copy(update={"prune": None})
    made = [
        sample_run(store, name=str(number), recipe=recipe, test_accuracy=number / 10)
        for number in range(MOST_COLOURS + 1)
    ]
    compared = compared_runs(made, {run.id: run for run in made})
    assert coloured_names(compared[:MOST_COLOURS]) == ["0", "1", "2", "3", "4", "5", "6"]
    assert coloured_names(compared) == ["2", "3", "4", "5", "6", "7"]
    assert coloured_names(compared, [compared[0].id]) == ["0", "3", "4", "5", "6", "7"]


def test_no_layer_of_the_scatter_plot_adds_a_zero_to_an_axis():
    table = pd.DataFrame(columns=[*"xy", "x_low", "x_high", "y_low", "y_high", "kind", "id"])
    chart = scatter_chart(table, Axis("bytes", False), Axis("accuracy", False)).to_dict()
    scales = [
        layer["encoding"][channel]["scale"]
        for layer in chart["layer"]
        for channel in "xy"
        if "scale" in layer["encoding"][channel]
    ]
    assert len(scales) > 4
    assert all(scale["zero"] is False for scale in scales)
