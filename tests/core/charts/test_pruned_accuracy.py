"""The curve of the accuracy without fine-tuning over the density."""

import pytest

from core.accuracy import wilson_interval
from core.charts.pruned_accuracy import tried_alt_text, tried_chart, tried_table
from core.jobs.pruning_trial import TriedDensity

POINTS = [TriedDensity(1.0, 0.9, 200), TriedDensity(0.1, 0.3, 200), TriedDensity(0.3, 0.8, 200)]
TABLE = tried_table(POINTS)


def layers(chart):
    return chart.to_dict()["layer"]


def test_the_table_ascends_and_has_the_interval_of_each_accuracy():
    assert TABLE["density"].tolist() == [0.1, 0.3, 1.0]
    assert TABLE["accuracy"].tolist() == [0.3, 0.8, 0.9]
    intervals = [wilson_interval(accuracy, 200) for accuracy in (0.3, 0.8, 0.9)]
    assert list(zip(TABLE["low"], TABLE["high"], strict=True)) == intervals
    assert TABLE["interval"][1] == "73.9 to 85.0%"


def test_the_axes_stay_still_while_the_curve_grows():
    empty = tried_chart(tried_table([]), 0.3, 1.0, 0.1).to_dict()
    whole = tried_chart(TABLE, 0.3, 1.0, 0.1).to_dict()
    assert whole["datasets"].pop("tried") == TABLE.to_dict("records")
    assert empty["datasets"].pop("tried") == []
    assert empty == whole


def test_the_axis_of_the_density_ends_at_that_of_the_network():
    (line,) = [
        layer for layer in layers(tried_chart(TABLE, 0.05, 0.2, 0.1)) if marks(layer, "line")
    ]
    assert line["encoding"]["x"]["scale"]["domain"] == [0, pytest.approx(0.206)]
    assert line["encoding"]["y"]["scale"]["domain"] == [0, 1]


def test_the_chosen_density_and_guessing_are_marked():
    chart = tried_chart(TABLE, 0.3, 1.0, 0.1)
    rules = [layer for layer in layers(chart) if marks(layer, "rule")]
    assert rules[0]["encoding"]["x"]["datum"] == 0.3
    assert rules[1]["encoding"]["y"]["datum"] == 0.1
    assert rules[2]["encoding"]["y2"]["field"] == "high"
    texts = [layer["mark"]["text"] for layer in layers(chart) if marks(layer, "text")]
    assert texts == ["chosen", "guessing"]
    (points,) = [layer for layer in layers(chart) if marks(layer, "point")]
    assert points["encoding"]["size"]["condition"][0]["test"] == "(datum.density === 0.3)"


def test_the_text_for_people_who_cannot_see_it():
    assert tried_alt_text(TABLE) == (
        "Accuracy without fine-tuning at 3 densities: 30.0% at 0.1, 80.0% at 0.3, 90.0% at 1."
    )


def marks(layer, kind):
    return layer["mark"]["type"] == kind
