"""The status that a worker derives from a run's events."""

import json
from itertools import pairwise

import pytest

from core.config import AffineRecipe
from core.events import Finished, Progress, Pruned
from core.runs import record
from core.runs.record import Record
from core.runs.run import read_status
from tests.sample_runs import sample_run, summary_of


def test_a_run_without_epochs_has_its_accuracies_from_its_end(store):
    parent = sample_run(store)
    run = store.create(AffineRecipe(), parent=parent.id)
    summary = summary_of(run, test_accuracy=0.5, best_accuracy=0.75, kept=120)
    Record(run).take(Finished(summary))
    status = store.get(run.id).status
    assert (status.test_accuracy, status.best_accuracy) == (0.5, 0.75)
    assert (status.kept, status.prunable) == (120, 1200)
    assert status.summary == summary


def test_the_counts_of_weights_are_there_before_the_end(store):
    run = sample_run(store, "running", done=0)
    Record(run).take(Pruned(7, 70, {}))
    status = store.get(run.id).status
    assert (status.kept, status.prunable, status.summary) == (7, 70, None)


def test_an_event_in_the_file_has_no_figures_that_the_recipe_does_not_have(store):
    run = sample_run(store)
    Record(run).take(Finished(summary_of(run, packed_bytes=5)))
    figures = store.events(run.id)[-1]["summary"]
    assert list(figures) == [
        *["model", "dataset", "density", "kept", "prunable", "epochs", "test_accuracy"],
        *["best_accuracy", "train_seconds", "images_per_second", "device", "packed_bytes"],
    ]


@pytest.mark.parametrize(
    ("older", "kept"), [({}, None), ({"kept": 3, "prunable": 30, "density": 0.1}, 3)]
)
def test_an_older_status_may_have_an_incomplete_summary(store, older, kept):
    run = sample_run(store)
    file = run.path / "status.json"
    values = json.loads(file.read_text())
    del values["kept"], values["prunable"]
    file.write_text(json.dumps(values | {"summary": older}))
    status = read_status(run.path)
    assert (status.state, status.summary, status.kept) == ("finished", None, kept)


def test_an_older_status_with_all_figures_has_its_summary(store):
    run = sample_run(store)
    file = run.path / "status.json"
    values = json.loads(file.read_text())
    del values["kept"], values["prunable"]
    values["summary"] = summary_of(run, kept=9).to_dict()
    file.write_text(json.dumps(values))
    status = read_status(run.path)
    assert status.summary == summary_of(run, kept=9)
    assert (status.kept, status.prunable) == (9, 1200)


def test_the_losses_of_batches_are_thinned_and_gone_at_the_end(store, monkeypatch):
    monkeypatch.setattr(record, "STATUS_SECONDS", 0)
    run = sample_run(store, "running", done=0)
    writer = Record(run)
    writer.take(Progress("Testing", 1, 4, "images"))
    assert store.get(run.id).status.batch_losses == []
    for done in range(1, 1501):
        writer.take(Progress("Epoch 1 of 4", done, 1500, loss=1 / done))
    losses = store.get(run.id).status.batch_losses
    assert record.MOST_BATCH_LOSSES / 3 <= len(losses) <= record.MOST_BATCH_LOSSES
    assert losses[0] == (round(1 / 1500, 4), 1)
    assert losses[-1] == (1.0, 1 / 1500)
    places = [place for place, _ in losses]
    assert max(later - earlier for earlier, later in pairwise(places)) < 0.02
    assert losses == sorted(losses)
    # A resumed run trains some batches again.
    writer.take(Progress("Epoch 1 of 4", 750, 1500, loss=0.5))
    losses = store.get(run.id).status.batch_losses
    assert losses[-1] == (0.5, 0.5)
    assert losses == sorted(losses)
    writer.take(Finished(summary_of(run)))
    assert store.get(run.id).status.batch_losses == []
