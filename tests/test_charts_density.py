"""The chart of the layers' densities: its data, its order, its words."""

import pytest

from core.charts import density
from core.training.preview import Layer

GLOBAL = [Layer("conv.weight", 9, 10, 100), Layer("dead.weight", 0, 40, 40), Layer("fc.weight", 5, 50, 50)]
LAYERWISE = [Layer("conv.weight", 1, 10, 100), Layer("dead.weight", 4, 40, 40), Layer("fc.weight", 5, 50, 50)]
WAYS = {"global": GLOBAL, "layerwise": LAYERWISE}


def test_the_frame_holds_exact_counts_in_order():
    frame = density.frame(WAYS)
    assert list(frame["layer"]) == ["conv", "dead", "fc"] * 2
    assert list(frame["kept"]) == [9, 0, 5, 1, 4, 5]
    assert list(frame["density"]) == [0.9, 0.0, 0.1, 0.1, 0.1, 0.1]
    assert set(frame["pruning"][:3]) == {"global"}


@pytest.mark.parametrize("first", WAYS)
def test_the_chosen_way_is_drawn_as_bars(first):
    ways = {first: WAYS[first], **WAYS}
    bars, marks = density.chart(ways).to_dict()["layer"]
    assert bars["mark"]["type"] == "bar"
    assert f"'{first}'" in str(bars["transform"])
    assert marks["mark"]["type"] == "tick"
    assert f"'{first}'" not in str(marks["transform"])


def test_layers_keep_their_order_and_every_count_is_in_the_tooltip():
    bars = density.chart(WAYS).to_dict()["layer"][0]["encoding"]
    assert bars["x"]["sort"] is None
    assert {"layer", "kept", "weights", "density", "macs"} <= {tip["field"] for tip in bars["tooltip"]}


def test_one_way_alone_is_a_chart_too():
    assert len(density.chart({"layerwise": LAYERWISE}).to_dict()["layer"]) == 1


@pytest.mark.parametrize(("count", "named"), [(density.NAMED, True), (density.NAMED + 1, False)])
def test_many_layers_are_named_on_hover_only(count, named):
    layers = [Layer(f"layer{i}.weight", 1, 2, 3) for i in range(count)]
    assert density.chart({"global": layers}).to_dict()["layer"][0]["encoding"]["x"]["axis"]["labels"] is named


def test_the_description_names_the_extremes():
    text = density.described(WAYS)
    assert "3 layers" in text
    assert "global pruning keeps from 0.00% (dead.weight) to 90.00% (conv.weight)" in text
