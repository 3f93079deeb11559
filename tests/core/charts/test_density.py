"""The charts of the layers' densities: their data, order and words."""

import pytest

from core.charts.density import (
    PRUNINGS,
    Pruning,
    density_chart,
    density_forecast_alt_text,
    density_forecast_chart,
    density_forecast_table,
    density_table,
)
from core.forecast.pruning import PrunedLayer

GLOBAL = [
    PrunedLayer("conv.weight", 9, 10, 100),
    PrunedLayer("dead.weight", 0, 40, 40),
    PrunedLayer("fc.weight", 5, 50, 50),
]
LAYERWISE = [
    PrunedLayer("conv.weight", 1, 10, 100),
    PrunedLayer("dead.weight", 4, 40, 40),
    PrunedLayer("fc.weight", 5, 50, 50),
]
WAYS: dict[Pruning, list[PrunedLayer]] = {"global": GLOBAL, "layerwise": LAYERWISE}


def test_the_table_holds_exact_counts_in_order():
    table = density_forecast_table(WAYS)
    assert list(table["layer"]) == ["conv", "dead", "fc"] * 2
    assert list(table["kept"]) == [9, 0, 5, 1, 4, 5]
    assert list(table["density"]) == [0.9, 0.0, 0.1, 0.1, 0.1, 0.1]
    assert set(table["pruning"][:3]) == {"global"}


@pytest.mark.parametrize("first", WAYS)
def test_the_chosen_way_is_drawn_as_bars(first):
    ways = {first: WAYS[first], **WAYS}
    bars, labels, marks = density_forecast_chart(ways).to_dict()["layer"]
    assert bars["mark"]["type"] == "bar"
    assert labels["mark"]["type"] == "text"
    assert f"'{first}'" in str(bars["transform"])
    assert marks["mark"]["type"] == "tick"
    assert f"'{first}'" not in str(marks["transform"])


@pytest.mark.parametrize("first", WAYS)
def test_a_way_of_pruning_keeps_its_colour(first):
    layers = density_forecast_chart({first: WAYS[first], **WAYS}).to_dict()["layer"]
    layers += density_chart({"conv.weight": [1, 10]}, first).to_dict()["layer"]
    domains = [
        layer["encoding"]["color"]["scale"]["domain"]
        for layer in layers
        if "color" in layer["encoding"]
    ]
    assert domains == [PRUNINGS] * 3
    assert PRUNINGS[:2] == ["global", "layerwise"]


def test_layers_keep_their_order_and_every_count_is_in_the_tooltip():
    bars = density_forecast_chart(WAYS).to_dict()["layer"][0]["encoding"]
    assert bars["y"]["sort"] is None
    assert {"layer", "kept", "weights", "density", "macs"} <= {
        tip["field"] for tip in bars["tooltip"]
    }


def test_one_way_alone_is_a_chart_too():
    assert len(density_forecast_chart({"layerwise": LAYERWISE}).to_dict()["layer"]) == 2


def test_every_layer_of_many_has_its_name():
    layers = [PrunedLayer(f"layer{i}.weight", 1, 2, 3) for i in range(100)]
    chart = density_forecast_chart({"global": layers}).to_dict()
    axis = chart["layer"][0]["encoding"]["y"]["axis"]
    assert axis["labelOverlap"] is False
    assert axis.get("labels", True)
    assert chart["height"] > 100 * 18


def x_of(chart):
    return chart.to_dict()["layer"][0]["encoding"]["x"]


def test_the_axis_reaches_to_all_weights_and_its_labels_stay_at_their_ticks():
    x = x_of(density_chart({"a.weight": [2, 10], "b.weight": [1, 10]}))
    assert x["scale"]["domain"][0] == 0
    assert x["scale"]["domain"][1] > 1
    assert x["axis"]["values"] == [0, 0.25, 0.5, 0.75, 1]
    assert x["axis"]["labelFlush"] is False


def test_small_densities_are_on_a_logarithmic_axis_up_to_all_weights():
    x = x_of(density_chart({"a.weight": [2, 100], "b.weight": [3, 1000], "c.weight": [0, 10]}))
    assert x["scale"]["type"] == "log"
    assert x["axis"]["values"] == [0.001, 0.01, 0.1, 1]
    low, high = x["scale"]["domain"]
    assert low == 0.001
    assert high > 1


def test_the_description_names_the_extremes():
    text = density_forecast_alt_text(WAYS)
    assert "3 layers" in text
    assert "global pruning keeps from 0% (dead.weight) to 90% (conv.weight)" in text


def test_density_keeps_the_networks_order_and_names_its_units():
    layers = {"z.weight": [5, 10], "a.weight": [0, 40]}
    assert density_table(layers).to_dict("records") == [
        {"layer": "z", "kept": 5, "weights": 10, "density": 0.5},
        {"layer": "a", "kept": 0, "weights": 40, "density": 0.0},
    ]
    assert density_chart(layers).to_dict()["layer"][0]["encoding"]["y"]["sort"] is None
