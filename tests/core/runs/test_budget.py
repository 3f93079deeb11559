"""Candidates, limits and results, as read from the events of a budget run."""

import math
from pathlib import Path

import pytest

from core.config import BudgetRecipe
from core.events import Candidate, LayersMeasured, ThinnedCandidate
from core.runs.budget import (
    LimitOutcome,
    TriedCandidate,
    best_so_far,
    best_speed,
    chosen_candidate,
    chosen_speed,
    limit_outcome,
    measured_damage,
    tried_candidates,
    tried_speeds,
)
from core.runs.event_lines import read_events, to_lines
from tests.sample_runs import sample_run, summary_of

LAYERS: dict[str, dict[str, float]] = {"a.weight": {"clusters": 5}, "b.weight": {"bits": 4}}
BYTES = BudgetRecipe(bytes=100)
LOSE = BudgetRecipe(lose=0.5)


def made(number, bytes, divergence=0.1, epochs=0, lost=None, most_lost=None):
    return TriedCandidate(number, bytes, divergence, LAYERS, epochs, lost, most_lost)


def number_of(candidate):
    return None if candidate is None else candidate.number


def test_candidates_are_counted_in_order_and_each_once(tmp_path):
    events = [
        Candidate(900, 0.5, LAYERS),
        Candidate(800, math.inf, LAYERS),
        Candidate(900, 0.5, LAYERS),  # again, after a kill
        Candidate(900, 0.5, LAYERS, epochs=3),
        Candidate(900, 0.5, {"a.weight": {"clusters": 5, "density": 0.5}}),
        Candidate(900, 0.5, LAYERS, lost=0.2, most_lost=0.4),
    ]
    file = Path(tmp_path / "events.jsonl")
    file.write_bytes(to_lines([event.to_dict() for event in events]))
    tried = tried_candidates(read_events(file))
    assert [one.number for one in tried] == [1, 2, 3, 4, 5]
    assert [one.epochs for one in tried] == [0, 0, 3, 0, 0]
    assert tried[1].divergence == math.inf
    assert tried[3].layers["a.weight"] == {"clusters": 5, "density": 0.5}
    assert (tried[4].lost, tried[4].most_lost) == (0.2, 0.4)
    assert tried[0] == TriedCandidate(1, 900, 0.5, LAYERS)


def test_the_layers_are_those_of_the_last_measurement_and_damaged_lines_are_skipped(tmp_path):
    first = LayersMeasured({"a.weight": [{"clusters": 2, "bytes": 10, "damage": 0.5}]})
    last = LayersMeasured({"a.weight": [{"bits": 2, "bytes": 11, "damage": 0.4}]})
    file = Path(tmp_path / "events.jsonl")
    damaged = b'{"event": "layersmeasured", "layers": {"a.weight": "none"}}\n'
    file.write_bytes(to_lines([first.to_dict(), last.to_dict()]) + damaged)
    assert measured_damage(read_events(file)) == last.layers
    assert measured_damage([]) == {}
    assert str(first) == "Options to choose from: 1, of 1 layers."


@pytest.mark.parametrize(
    ("recipe", "most"), [(BYTES, 100), (BudgetRecipe(smaller=7.3), 33_975), (LOSE, None)], ids=str
)
def test_the_limit_in_bytes(recipe, most):
    assert recipe.byte_limit(248_024) == most


def test_a_ratio_of_unknown_bytes_is_no_limit():
    assert BudgetRecipe(smaller=8).byte_limit(None) is None
    assert BYTES.byte_limit(None) == 100


def test_the_best_within_bytes_has_the_least_divergence_and_of_equals_the_fewest_bytes():
    tried = [made(1, 101, 0.0), made(2, 90, 0.2), made(3, 100, 0.1), made(4, 99, 0.1)]
    assert number_of(best_so_far(BYTES, tried, 100)) == 4
    assert best_so_far(BYTES, tried[:1], 100) is None
    given = BudgetRecipe(layers=LAYERS)
    assert number_of(best_so_far(given, tried, None)) == 1


def test_the_best_within_a_loss_has_the_fewest_bytes():
    tried = [
        made(1, 50, lost=0.2, most_lost=0.6),
        made(2, 90, lost=0.3, most_lost=0.5),
        made(3, 80, lost=-0.4, most_lost=-0.1),
        made(4, 10),
    ]
    assert number_of(best_so_far(LOSE, tried, None)) == 3
    assert best_so_far(LOSE, tried[:1], None) is None


@pytest.fixture
def summary(store):
    run = sample_run(store)
    return summary_of(run, packed_bytes=80, float_bytes=800, epochs=2, test_half="B")


def test_the_chosen_candidate_has_the_bytes_and_the_epochs_of_the_result(summary):
    tried = [made(1, 80), made(2, 80, 0.3, 2), made(3, 80, 0.2, 2), made(4, 81, 0.1, 2)]
    assert number_of(chosen_candidate(tried, summary)) == 3
    assert chosen_candidate(tried[:1], summary) is None


@pytest.mark.parametrize(
    ("recipe", "outcome", "is_kept"),
    [
        (BYTES, LimitOutcome(20, "bytes"), True),
        (BudgetRecipe(smaller=10), LimitOutcome(0, "bytes"), True),
        (BudgetRecipe(bytes=79), LimitOutcome(-1, "bytes"), False),
        (BudgetRecipe(lose=0.5), LimitOutcome(-0.25, "points", 0.75), False),
        (BudgetRecipe(lose=1), LimitOutcome(0.25, "points", 0.25), False),
        (BudgetRecipe(lose=1.5), LimitOutcome(0.75, "points", -0.25), True),
    ],
    ids=str,
)
def test_the_limit_is_kept_with_a_slack_or_broken(recipe, outcome, is_kept, summary):
    chosen = made(1, 80, epochs=2, lost=0.75, most_lost=1.25)
    assert limit_outcome(recipe, chosen, summary) == outcome
    assert outcome.is_kept == is_kept


def test_without_a_limit_or_a_measured_loss_there_is_no_outcome(summary):
    assert limit_outcome(BudgetRecipe(layers=LAYERS), made(1, 80), summary) is None
    assert limit_outcome(LOSE, made(1, 80), summary) is None
    assert limit_outcome(LOSE, None, summary) is None


def test_a_tuned_candidate_must_be_clearly_closer():
    tried = [made(1, 90, 0.1), made(2, 90, 0.098, epochs=1)]
    assert number_of(best_so_far(BYTES, tried, 100)) == 1
    assert number_of(best_so_far(BYTES, [*tried, made(3, 90, 0.07, epochs=2)], 100)) == 3


# -- a limit of time --

FASTER = BudgetRecipe(faster=2)
SPEEDS = [
    ThinnedCandidate("channel-snip", 0.1, 0.5, 1.0, 0.3, 3.3, 3.0, 3.5),
    ThinnedCandidate("channel-snip", 0.4, 0.1, 1.0, 0.5, 2.1, 1.9, 2.2),
    ThinnedCandidate("channel-snip", 0.3, 0.2, 1.0, 0.4, 2.4, 2.0, 2.6),
    ThinnedCandidate("channel-snip", 0.3, 0.199, 1.0, 0.4, 2.4, 2.0, 2.6, epochs=1),
]


def speeds_of(events, tmp_path):
    file = Path(tmp_path / "events.jsonl")
    file.write_bytes(to_lines([event.to_dict() for event in events]))
    return tried_speeds(read_events(file))


def test_the_best_so_far_is_fast_enough_at_the_lower_end_and_has_the_least_divergence(tmp_path):
    tried = speeds_of([*SPEEDS, SPEEDS[0]], tmp_path)
    assert [made.number for made in tried] == [1, 2, 3, 4]
    assert number_of(best_speed(FASTER, tried)) == 3  # tuning did not come clearly closer
    assert best_speed(BudgetRecipe(faster=4), tried) is None


@pytest.mark.parametrize(
    ("faster", "slack", "uncertain", "is_kept"),
    [(2.0, 0.5, 0.0, True), (2.25, 0.25, 0.25, False), (3.0, -0.5, 1.0, False)],
)
def test_a_limit_of_time_is_held_against_the_lower_end(faster, slack, uncertain, is_kept, summary):
    figures = {"speedup": 2.5, "speedup_interval": (2.0, 2.75), "milliseconds": 0.4}
    measured = summary.model_copy(update=figures)
    outcome = limit_outcome(BudgetRecipe(faster=faster), None, measured)
    assert outcome == LimitOutcome(slack, "times", uncertain)
    assert outcome.is_kept == is_kept
    assert limit_outcome(BudgetRecipe(faster=faster), None, summary) is None


def test_the_chosen_network_has_the_measured_figures_of_the_result(tmp_path, summary):
    tried = speeds_of(SPEEDS, tmp_path)
    figures = {"speedup": 2.4, "milliseconds": 0.4, "epochs": 1}
    assert number_of(chosen_speed(tried, summary.model_copy(update=figures))) == 4
    assert chosen_speed(tried, summary) is None
