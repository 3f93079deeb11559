"""The chart of the layers at which networks part."""

import math

from core.charts.parting import (
    SELECTION,
    similarity_alt_text,
    similarity_chart,
    similarity_range,
    similarity_table,
)

TABLE = similarity_table({"B": {"conv": 0.96, "fc": 0.5}, "C": {"conv": 0.75, "fc": math.nan}})


def layer_called(chart, mark):
    for layer in chart.to_dict()["layer"]:
        if layer["mark"]["type"] == mark:
            return layer
    raise AssertionError(mark)


def test_a_row_for_each_layer_of_each_network():
    rows = TABLE.astype(object).where(TABLE.notna(), None).to_dict("records")
    assert rows == [
        {"layer": "conv", "network": "B", "cosine": 0.96},
        {"layer": "fc", "network": "B", "cosine": 0.5},
        {"layer": "conv", "network": "C", "cosine": 0.75},
        {"layer": "fc", "network": "C", "cosine": None},
    ]


def test_the_axis_begins_below_the_lowest_value_and_the_threshold():
    assert similarity_range(TABLE, 0.9) == (0.4, 1.0)
    assert similarity_range(TABLE, 0.2) == (0.1, 1.0)
    assert similarity_range(similarity_table({"B": {"conv": 1.0}}), 0.9) == (0.8, 1.0)
    assert similarity_range(similarity_table({"B": {"conv": -1.0}}), 0.9) == (-1.0, 1.0)
    assert similarity_range(similarity_table({"B": {"conv": math.nan}}), 0.95) == (0.9, 1.0)


def test_the_chart_holds_every_layer_in_order_and_can_be_clicked():
    chart = similarity_chart(TABLE, 0.9)
    spec = chart.to_dict()
    points = layer_called(chart, "point")
    assert points["encoding"]["x"]["sort"] == ["conv", "fc"]
    assert points["encoding"]["y"]["scale"]["domain"] == [0.4, 1.0]
    assert spec["datasets"]["similarities"][3]["cosine"] is None
    assert [one["name"] for one in spec["params"]] == [SELECTION]
    rule = layer_called(chart, "rule")["encoding"]["y"]
    assert rule["datum"] == 0.9
    assert rule["scale"]["domain"] == [0.4, 1.0]


def test_only_several_networks_have_a_legend():
    one = similarity_chart(similarity_table({"B": {"conv": 1.0}}), 0.9)
    assert layer_called(one, "line")["encoding"]["color"]["legend"] is None
    two = layer_called(similarity_chart(TABLE, 0.9), "line")["encoding"]["color"]
    assert two["legend"]["values"] == ["B", "C"]
    assert two["scale"]["domain"] == ["A", "B", "C"]


def test_the_text_names_the_lowest_cosine():
    assert similarity_alt_text(TABLE) == (
        "The cosine of 2 layers to those of A, in the order of the calls. The lowest is 0.500, at"
        " fc of B."
    )
    nan = similarity_table({"B": {"conv": math.nan}})
    assert similarity_alt_text(nan) == "The cosine to the layers of A is NaN everywhere."
