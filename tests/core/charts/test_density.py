"""The charts of the layers' densities: their data, order and words."""

import pytest

from core.charts.density import (
    MOST_NAMED_LAYERS,
    density_chart,
    density_forecast_alt_text,
    density_forecast_chart,
    density_forecast_table,
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
WAYS = {"global": GLOBAL, "layerwise": LAYERWISE}


def test_the_table_holds_exact_counts_in_order():
    table = density_forecast_table(WAYS)
    assert list(table["layer"]) == ["conv", "dead", "fc"] * 2
    assert list(table["kept"]) == [9, 0, 5, 1, 4, 5]
    assert list(table["density"]) == [0.9, 0.0, 0.1, 0.1, 0.1, 0.1]
    assert set(table["pruning"][:3]) == {"global"}


@pytest.mark.parametrize("first", WAYS)
def test_the_chosen_way_is_drawn_as_bars(first):
    ways = {first: WAYS[first], **WAYS}
    bars, marks = density_forecast_chart(ways).to_dict()["layer"]
    assert bars["mark"]["type"] == "bar"
    assert f"'{first}'" in str(bars["transform"])
    assert marks["mark"]["type"] == "tick"
    assert f"'{first}'" not in str(marks["transform"])


def test_layers_keep_their_order_and_every_count_is_in_the_tooltip():
    bars = density_forecast_chart(WAYS).to_dict()["layer"][0]["encoding"]
    assert bars["x"]["sort"] is None
    assert {"layer", "kept", "weights", "density", "macs"} <= {
        tip["field"] for tip in bars["tooltip"]
    }


def test_one_way_alone_is_a_chart_too():
    assert len(density_forecast_chart({"layerwise": LAYERWISE}).to_dict()["layer"]) == 1


@pytest.mark.parametrize(
    ("count", "named"), [(MOST_NAMED_LAYERS, True), (MOST_NAMED_LAYERS + 1, False)]
)
def test_many_layers_are_named_on_hover_only(count, named):
    layers = [PrunedLayer(f"layer{i}.weight", 1, 2, 3) for i in range(count)]
    assert (
        density_forecast_chart({"global": layers}).to_dict()["layer"][0]["encoding"]["x"]["axis"][
            "labels"
        ]
        is named
    )


def test_the_description_names_the_extremes():
    text = density_forecast_alt_text(WAYS)
    assert "3 layers" in text
    assert "global pruning keeps from 0.00% (dead.weight) to 90.00% (conv.weight)" in text


def test_density_keeps_the_networks_order_and_names_its_units():
    chart = density_chart({"z.weight": [5, 10], "a.weight": [0, 40]})
    assert chart.data.to_dict("records") == [
        {"layer": "z", "kept": 5, "total": 10, "share": 0.5},
        {"layer": "a", "kept": 0, "total": 40, "share": 0.0},
    ]
    assert chart.to_dict()["encoding"]["y"]["sort"] is None
