"""The tables behind the charts of answers, by hand, and charts that a browser can read."""

import numpy as np
import pytest

from core.charts.answers import classes as class_charts
from core.charts.answers import confidence, confusion
from core.inspect.behaviour.answers import Answers
from core.inspect.behaviour.calibration import count_margins, measure_reliability
from core.inspect.behaviour.changes import Changes
from core.inspect.behaviour.confusion import confusion_difference, count_confusions

CLASSES = ["cat", "dog", "eel"]
LABELS = np.array([0, 0, 0, 1, 1, 2])


def answers(predicted):
    return Answers(np.eye(3, dtype=np.float32)[predicted] * 2)


@pytest.fixture
def changes():
    """Of the cats two are broken, and the eel is fixed."""
    return Changes(answers([0, 0, 0, 1, 1, 0]), answers([1, 2, 0, 1, 1, 2]), LABELS)


def test_classes_by_hand(changes):
    table = class_charts.class_table(changes, CLASSES)
    assert table["class"].tolist() == ["cat", "dog", "eel"]
    assert table["change"].tolist() == pytest.approx([-200 / 3, 0, 100])
    assert table["broken"].tolist() == [2, 0, 0]
    assert table["first"].tolist() == [100, 100, 0]
    assert (table["low"] < table["change"]).tolist() == [True, True, True]
    assert table["sign"].tolist() == ["not clear"] * 3
    assert "cat (-66.7)" in class_charts.class_alt_text(table)
    assert len(class_charts.class_chart(table).to_dict()["layer"]) == 3


def test_a_clear_change_is_told():
    labels = np.zeros(50, np.int64)
    first, second = answers(labels), answers(labels + 1)
    better = class_charts.class_table(Changes(second, first, labels), CLASSES)
    worse = class_charts.class_table(Changes(first, second, labels), CLASSES)
    assert (better["sign"].tolist(), worse["sign"].tolist()) == (["better"], ["worse"])


def test_the_colour_of_a_class_is_by_the_test_and_not_by_the_interval():
    labels = np.zeros(100, np.int64)
    first = labels.copy()
    second = labels.copy()
    second[:5] = 1  # 5 broken: a p-value of 0.06, although the interval is below 0
    table = class_charts.class_table(Changes(answers(first), answers(second), labels), CLASSES)
    assert table["high"].tolist()[0] < 0
    assert table["sign"].tolist() == ["not clear"]


def test_of_many_classes_those_that_change_most_are_drawn(changes, monkeypatch):
    monkeypatch.setattr(class_charts, "MOST_CLASSES", 2)
    table = class_charts.class_table(changes, CLASSES)
    assert class_charts.most_changed(table)["class"].tolist() == ["cat", "eel"]


def test_confusion_by_hand(changes):
    table = confusion.confusion_table(confusion_difference(changes), CLASSES)
    cells = {(row.true, row.predicted): row.images for row in table.itertuples() if row.images}
    assert cells == {
        ("cat", "cat"): -2,
        ("cat", "dog"): 1,
        ("cat", "eel"): 1,
        ("eel", "cat"): -1,
        ("eel", "eel"): 1,
    }
    strengths = table.set_index(["true", "predicted"])["strength"]
    assert strengths["cat", "cat"] == -1
    assert strengths["cat", "dog"] == pytest.approx(0.5**0.5)
    assert "cat taken for dog: 1" in confusion.confusion_alt_text(table)


@pytest.mark.parametrize("is_dark", [False, True])
def test_heatmaps_have_numbers_and_a_selection(changes, is_dark):
    table = confusion.confusion_table(confusion_difference(changes), CLASSES)
    chart = confusion.difference_chart(table, CLASSES, "B minus A", is_dark=is_dark).to_dict()
    assert [param["name"] for param in chart["params"]] == [confusion.CELL]
    texts = [row["text"] for row in next(iter(chart["datasets"].values()))]
    assert {"−2", "+1", ""} == set(texts) - {"−1"}
    counts = count_confusions(changes.first, LABELS)
    first = confusion.confusion_table(counts, CLASSES)
    assert "params" not in confusion.confusion_chart(first, CLASSES, "A", is_dark=is_dark).to_dict()


def test_many_classes_have_no_empty_cells():
    counts = np.diag(np.arange(100))
    table = confusion.confusion_table(counts, [f"class {label}" for label in range(100)])
    assert len(table) == 99
    assert len(confusion.confusion_table(np.zeros((3, 3), int), CLASSES)) == 9


def test_confidence_by_hand(changes):
    models = {"A": changes.first, "B": changes.second}
    reliabilities = {name: measure_reliability(model, LABELS) for name, model in models.items()}
    table = confidence.reliability_table(reliabilities)
    assert table["images"].tolist() == [6, 6]
    assert table["accuracy"].tolist() == pytest.approx([5 / 6, 4 / 6])
    assert "A 4.6%" in confidence.calibration_alt_text(reliabilities)
    assert confidence.reliability_chart(table, ["A", "B"]).to_dict()
    margins = {name: count_margins(model, LABELS) for name, model in models.items()}
    margin_table = confidence.margin_table(margins)
    assert margin_table.groupby("model")["images"].sum().to_dict() == {"A": 6, "B": 6}
    assert confidence.margin_chart(margin_table, ["A", "B"]).to_dict()
