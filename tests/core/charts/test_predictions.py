"""The bars of what networks take a picture for."""

import numpy as np
import pytest

from core.charts.predictions import (
    SHOWN_CLASSES,
    prediction_alt_text,
    prediction_chart,
    prediction_table,
)

CLASSES = ("cat", "dog", "horse", "deer", "bird", "ship", "frog")
FIRST = np.array([0.1, 0.6, 0.05, 0.05, 0.1, 0.06, 0.04])
SECOND = np.array([0.5, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05])


def test_the_likeliest_classes_of_all_networks_come_first():
    rows = prediction_table(CLASSES, {"A": FIRST, "B": SECOND})
    assert rows["class"].unique().tolist() == ["dog", "cat", "horse", "deer", "bird"]
    assert rows[rows["class"] == "cat"]["probability"].tolist() == [0.1, 0.5]


def test_the_true_class_is_marked_and_always_there():
    rows = prediction_table(CLASSES, {"A": FIRST}, "frog")
    assert rows["class"].iloc[-1] == "✓ frog"
    assert rows["class"].nunique() == SHOWN_CLASSES


def test_a_label_from_elsewhere_marks_nothing():
    assert not prediction_table(CLASSES, {"A": FIRST}, "truck")["class"].str.startswith("✓").any()


def test_numbers_that_are_none_are_drawn_last():
    broken = FIRST.copy()
    broken[1] = float("nan")
    assert prediction_table(CLASSES, {"A": broken})["class"].iloc[0] == "cat"


@pytest.mark.parametrize("names", [["A"], ["A", "B"], ["A", "B", "C"]])
def test_a_chart_with_a_legend_where_there_is_a_choice(names):
    spec = prediction_chart(CLASSES, dict.fromkeys(names, FIRST), "cat").to_dict()
    bars = spec["layer"][0]["encoding"]
    assert bars["x"]["title"] == "Probability"
    assert (bars["color"]["legend"] is None) == (len(names) == 1)


def test_the_sentence():
    assert (
        prediction_alt_text(CLASSES, {"A": FIRST, "B": SECOND})
        == "A says dog with 60.0%; B says cat with 50.0%."
    )
