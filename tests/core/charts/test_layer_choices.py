"""The bars of a choice of layers."""

import json
import math

import pytest

from core.charts.layer_choices import (
    choice_alt_text,
    choice_chart,
    choice_table,
    sensitivity_of_choice_chart,
)
from core.runs.layer_choices import LayerChoices

CHOICES: LayerChoices = {
    "a.weight": {"clusters": 5},
    "b.weight": {"bits": 4},
    "c.weight": {"clusters": 8, "density": 0.5},
}
WEIGHTS = {"a.weight": 100, "b.weight": 2000, "c.weight": 30}
MEASURED = {
    "a.weight": [
        {"clusters": 2, "bytes": 10, "damage": 0.5},
        {"clusters": 5, "density": 0.5, "bytes": 15, "damage": 0.3},
        {"clusters": 5, "bytes": 20, "damage": 0.1},
    ],
    "b.weight": [{"bits": 2, "bytes": 10, "damage": 0.7}],
}


def titles(chart):
    return {layer["encoding"]["x"]["title"] for layer in chart.to_dict()["layer"]}


def test_a_row_has_the_choice_its_damage_and_that_of_the_smallest_option():
    table = choice_table(CHOICES, WEIGHTS, MEASURED)
    assert table["layer"].tolist() == list(CHOICES)
    assert table["choice"].tolist() == ["5 clusters", "4 bits", "8 clusters, 50% kept"]
    assert table["index_bits"].tolist() == [math.log2(5), 4, 3]
    assert table["kind"].tolist() == ["clusters", "bits", "clusters"]
    assert table["weights"].tolist() == [100, 2000, 30]
    assert table["damage"].tolist()[0] == 0.1  # of 5 clusters, without pruning
    assert table["damage"].isna().tolist() == [False, True, True]
    assert table["least_damage"].tolist()[:2] == [0.5, 0.7]


def test_without_a_measurement_the_numbers_of_weights_stand_beside_the_choice():
    unmeasured = choice_table(CHOICES, WEIGHTS, {})
    assert titles(sensitivity_of_choice_chart(unmeasured)) == {"Weights"}
    measured = choice_table(CHOICES, WEIGHTS, MEASURED)
    (title,) = titles(sensitivity_of_choice_chart(measured))
    assert "smallest option (nats)" in title


def test_the_rows_of_both_charts_are_at_the_same_height():
    table = choice_table(CHOICES, WEIGHTS, MEASURED)
    bars = choice_chart(table).to_dict()
    others = sensitivity_of_choice_chart(table).to_dict()
    assert bars["height"] == others["height"]
    assert bars["layer"][0]["encoding"]["y"] == others["layer"][0]["encoding"]["y"]
    assert bars["datasets"] == others["datasets"]


def test_a_choice_alone_is_enough():
    table = choice_table(CHOICES, {"a.weight": 100}, {})
    assert json.loads(sensitivity_of_choice_chart(table).to_json(), parse_constant=pytest.fail)
    assert choice_alt_text(table).endswith(
        "a.weight 5 clusters, b.weight 4 bits, c.weight 8 clusters, 50% kept."
    )
