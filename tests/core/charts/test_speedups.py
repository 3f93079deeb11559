"""The chart of a search for speed: its points, its limit, and what has no place in it."""

import math

from core.charts.speedups import speedup_alt_text, speedup_chart, speedup_table
from core.runs.budget import TriedSpeed

TRIED = [
    TriedSpeed(1, "channel-snip", 0.1, 0.5, 1.0, 0.3, 3.3, 3.0, 3.5),
    TriedSpeed(2, "channel-snip", 0.9, 0.0, 1.0, 0.9, 1.1, 1.0, 1.2, epochs=2),
    TriedSpeed(3, "channel-snip", 0.5, math.inf, 1.0, 0.5, 2.0, 1.9, 2.1),
]


def test_each_network_is_a_point_with_its_interval_and_the_result_is_marked():
    table = speedup_table(TRIED, chosen=2)
    assert table["number"].tolist() == [1, 2]  # an infinite divergence has no place
    assert table["drawn"].tolist() == [0.5, 1e-6]
    assert table["state"].tolist() == ["not tuned", "tuned"]
    assert table["chosen"].tolist() == [False, True]


def test_the_limit_is_a_line_and_only_the_data_changes():
    few = speedup_chart(speedup_table(TRIED[:1], None), 2.0).to_dict()
    many = speedup_chart(speedup_table(TRIED, 1), 2.0).to_dict()
    assert many["datasets"]["limit"] == [{"speedup": 2.0}]
    assert len(few["datasets"].pop("tried")) == 1
    assert len(many["datasets"].pop("tried")) == 2
    assert few == many


def test_the_alternative_text_has_the_figures():
    text = speedup_alt_text(speedup_table(TRIED, None))
    assert "3.30 times at 0.5" in text
    assert "of 2 networks" in text
