"""The points, settings and report that a tracker gets of a run, without any tracker."""

import json

import pytest

from core.config import TrainRecipe
from core.runs.trackers.content import read_run_content
from core.runs.trackers.settings import trackers_of_environment
from tests.sample_runs import epoch_ends, sample_run


def test_points_are_the_epochs_and_then_the_result(store):
    run = sample_run(store)
    points = read_run_content(run).points
    accuracies = [point for point in points if point.name == "test_accuracy"]
    assert [point.step for point in accuracies] == [1, 2, 3, 4]
    assert [point.value for point in accuracies] == pytest.approx([0.6, 0.7, 0.8, 0.9])
    assert [(point.step, point.value) for point in points if point.name == "result/kept"] == [
        (4, 120)
    ]
    assert {point.name for point in points}.isdisjoint({"epoch", "time", "validation_loss"})


def test_an_epoch_that_was_trained_again_counts_once(store):
    run = sample_run(store, "interrupted", done=2)
    again = list(epoch_ends(4, [0.6, 0.75]))[1]
    with (run.path / "events.jsonl").open("a") as file:
        file.write(json.dumps(again.to_dict()) + "\n")
    points = read_run_content(run).points
    accuracies = [point for point in points if point.name == "test_accuracy"]
    assert [(point.step, point.value) for point in accuracies] == [(1, 0.6), (2, 0.75)]


def test_a_run_that_never_started_has_settings_and_no_points(store):
    run = store.create(TrainRecipe())
    content = read_run_content(run)
    assert content.params["train.lr"] == "0.1"
    assert (content.points, content.files, content.report) == ((), (), "")
    assert "" not in content.params.values()


def test_the_report_states_sizes(store):
    content = read_run_content(sample_run(store, name="one"))
    assert content.report.startswith("one: test accuracy 90.00%.\nconfig.json has ")
    assert "model.safetensors has 7 bytes." in content.report


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("http://a:b@host:5000/path", "http://host:5000/path"),
        ("http://host:5000", "http://host:5000"),
        ("sqlite:///folder/a.db", "sqlite:///folder/a.db"),
        ("databricks", "databricks"),
        ("", ""),
    ],
)
def test_a_place_has_no_password(monkeypatch, address, place):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    trackers = trackers_of_environment()
    assert trackers.place == place
    assert trackers.is_any_on == bool(address)
