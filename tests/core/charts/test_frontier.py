"""The chart of a search: its frontier, its limit, and that it stays still while it grows."""

import json
import math

import pytest

from core.charts.frontier import BudgetMarks, frontier_alt_text, frontier_chart, frontier_table
from core.runs.budget import TriedCandidate

LAYERS: dict[str, dict[str, float]] = {"a.weight": {"clusters": 5}}
TRIED = [
    TriedCandidate(1, 300, 0.4, LAYERS, lost=3.0, most_lost=3.0),
    TriedCandidate(2, 400, 0.5, LAYERS, lost=1.0, most_lost=1.0),
    TriedCandidate(3, 500, 0.01, LAYERS, epochs=2, lost=1.0, most_lost=1.0),
    TriedCandidate(4, 450, math.inf, LAYERS, lost=90.0, most_lost=90.0),
    TriedCandidate(5, 600, 0.0, LAYERS, lost=-0.5, most_lost=-0.5),
]
LIMIT = BudgetMarks(picked=3, bytes=550)


def chart(tried, cost="divergence", marks=LIMIT):
    return frontier_chart(frontier_table(tried, cost), cost, marks).to_dict()


def on_frontier(cost):
    table = frontier_table(TRIED, cost)
    return set(table[table["best"]]["number"])


def test_no_candidate_on_the_frontier_is_beaten():
    assert on_frontier("divergence") == {1, 3, 5}
    assert on_frontier("most_lost") == {1, 2, 5}  # 3 has the loss of 2 in more bytes


def test_what_cannot_be_drawn_is_left_out_and_zero_has_a_place_on_the_log_scale():
    table = frontier_table(TRIED, "divergence")
    assert table["number"].tolist() == [1, 2, 3, 5]
    assert table["cost"].tolist() == [0.4, 0.5, 0.01, 1e-6]
    assert table["divergence"].tolist()[-1] == 0
    unmeasured = TriedCandidate(6, 300, 0.4, LAYERS)
    assert frontier_table([unmeasured], "most_lost").empty
    assert frontier_table(TRIED, "most_lost")["cost"].tolist()[-1] == -0.5


def test_only_the_data_changes_while_the_search_goes_on():
    few = chart(TRIED[:1])
    many = chart(TRIED, marks=BudgetMarks(picked=1, bytes=550))
    assert len(few["datasets"].pop("tried")) == 1
    assert len(many["datasets"].pop("tried")) == 4
    assert few == many


def test_the_limit_is_a_line_where_it_belongs():
    assert chart(TRIED)["datasets"]["limit"] == [{"bytes": 550}]
    points = BudgetMarks(lost=0.5)
    assert chart(TRIED, "most_lost", points)["datasets"]["limit"] == [{"cost": 0.5}]
    assert chart(TRIED, "divergence", points)["datasets"]["limit"] == []
    assert chart(TRIED, marks=BudgetMarks())["datasets"]["limit"] == []


def test_a_browser_can_read_it_although_some_losses_are_not_measured():
    tried = [*TRIED, TriedCandidate(6, 320, 0.2, LAYERS)]
    text = frontier_chart(frontier_table(tried, "divergence"), "divergence", LIMIT).to_json()
    rows = json.loads(text, parse_constant=pytest.fail)["datasets"]["tried"]
    assert rows[-1]["lost"] is None
    assert rows[-1]["lost_text"] == "—"


def test_the_picked_one_and_the_result_are_marked():
    rows = chart(TRIED, marks=BudgetMarks(picked=1, chosen=3))["datasets"]["tried"]
    by_number = {row["number"]: row for row in rows}
    assert [number for number, row in by_number.items() if row["picked"]] == [1]
    assert [number for number, row in by_number.items() if row["chosen"]] == [3]
    assert by_number[3]["mark"] == "the result"
    assert by_number[1]["mark"] == "on the frontier"
    assert by_number[2]["mark"] == "—"
    assert (by_number[3]["state"], by_number[1]["state"]) == ("tuned", "not tuned")
    assert by_number[1]["lost_text"] == "3.00 points, at most 3.00"


@pytest.mark.parametrize("cost", ["divergence", "most_lost"])
def test_every_layer_of_the_chart_has_both_axes(cost):
    marks = BudgetMarks(bytes=550) if cost == "divergence" else BudgetMarks(lost=0.5)
    titles = {
        layer["encoding"][axis].get("title")
        for layer in chart(TRIED, cost, marks)["layer"]
        for axis in ("x", "y")
        if "title" in layer["encoding"].get(axis, {})
    }
    assert "Packed file (bytes)" in titles
    assert len(titles) == 2


def test_the_text_for_people_who_cannot_see_it():
    text = frontier_alt_text(frontier_table(TRIED, "divergence"), "divergence")
    assert text == (
        "KL divergence from the float network (nats) against bytes of the packed file of 4"
        " candidates; on the Pareto frontier: 300 bytes at 0.4, 500 bytes at 0.01, 600 bytes at"
        " 1e-06."
    )
