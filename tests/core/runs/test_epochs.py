"""The epochs whose weights a training keeps: which ones, in how much space, at what cost."""

from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file

from core.config import Prune, TrainRecipe
from core.events import EpochEnd
from core.models import saved
from core.runs import epochs, worker
from core.runs.worker import work
from core.training import setup
from tests import eager_worker

RECIPE = TrainRecipe(
    model="LeNet5",
    dataset="Digits",
    device="cpu",
    prune=Prune(density=0.2),
    epochs=5,
    batch_size=16,
    train_images=40,
    lr=0.05,
)


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setattr(setup, "build", lambda name, classes: eager_worker.network(classes))
    for name in ("EPOCH_SAVE_SECONDS", "BATCH_SAVE_SECONDS", "SAVING_SHARE"):
        monkeypatch.setattr(worker, name, 0)


def finished(store, data, **changes):
    run = store.create(RECIPE.model_copy(update=changes))
    for _ in work(run, data):
        pass
    return store.get(run.id)


@pytest.mark.parametrize(
    ("every", "expected"), [(0, []), (1, [1, 2, 3, 4, 5, 6, 7]), (3, [1, 3, 6, 7]), (9, [1, 7])]
)
def test_the_first_the_last_and_every_nth(every, expected):
    assert [epoch for epoch in range(1, 8) if epochs.is_epoch_kept(epoch, every, 7)] == expected


@pytest.mark.parametrize(
    ("kept", "every", "room", "expected"),
    [
        ([1, 2, 3], 1, 3, [1, 2, 3]),
        ([1, 2, 3, 4], 1, 3, [1, 2, 4]),
        ([1, 2, 4, 5], 1, 3, [1, 4, 5]),
        ([1, 4, 5, 6], 1, 3, [1, 4, 6]),
        ([1, 8, 9], 1, 2, [1, 9]),
        ([1, 9], 1, 1, [9]),
        ([7], 1, 1, [7]),
        ([1, 5, 10, 15, 20], 5, 4, [1, 10, 20]),
        ([1, 2, 3, 4, 5, 6, 7, 8], 1, 5, [1, 2, 4, 6, 8]),
    ],
)
def test_every_second_one_goes(kept, every, room, expected):
    assert epochs.thin_epochs(kept, every, room) == expected


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("room", [1, 2, 3, 7, 20])
def test_what_is_left_spans_the_training_at_any_time(every, room):
    kept: list[int] = []
    for epoch in range(1, 200):
        if epochs.is_epoch_kept(epoch, every, 199):
            kept = epochs.thin_epochs([*kept, epoch], every, room)
            assert len(kept) <= room
            assert kept[-1] == epoch
            assert room == 1 or kept[0] == 1
    gaps = [after - before for before, after in pairwise(kept)]
    assert room < 7 or max(gaps) <= 4 * 199 / room


def test_no_more_bytes_than_the_limit(tmp_path):
    for epoch in range(1, 30):
        epochs.write_epoch(tmp_path, epoch, bytes(100), 1, limit=450)
        weights = (tmp_path / "epochs").glob("*.safetensors")
        assert sum(file.stat().st_size for file in weights) <= 450
    assert epochs.kept_epochs(tmp_path)[0] == 1
    assert epochs.kept_epochs(tmp_path)[-1] == 29


def test_one_that_is_larger_than_the_limit_is_not_kept(tmp_path):
    epochs.write_epoch(tmp_path, 1, bytes(100), 1, limit=99)
    assert epochs.kept_epochs(tmp_path) == []


def test_other_files_are_no_epochs(tmp_path):
    (tmp_path / "epochs").mkdir()
    for name in ("3.safetensors", ".4.safetensors.tmp", "best.safetensors", "5.txt"):
        (tmp_path / "epochs" / name).touch()
    assert epochs.kept_epochs(tmp_path) == [3]


def test_a_training_keeps_its_epochs_as_they_were(store, digits, toy):
    run, seen = store.create(RECIPE), {}
    for event in work(run, digits):
        if isinstance(event, EpochEnd):
            seen[event.epoch] = epochs.kept_epochs(run.path)
    assert seen[3] == [1, 2]  # an event is told before its epoch is kept
    assert epochs.kept_epochs(run.path) == [1, 2, 3, 4, 5]
    weights = [load_file(epochs.epoch_file(run.path, epoch)) for epoch in range(1, 6)]
    last = load_file(run.path / "model.safetensors")
    assert all(torch.equal(weights[-1][name], last[name]) for name in last)
    assert any(not torch.equal(weights[0][name], last[name]) for name in last)
    assert saved.read_card(epochs.epoch_file(run.path, 2)) == saved.read_card(
        run.path / "model.safetensors"
    )


def test_none_are_kept_if_nobody_wants_them(store, digits, toy):
    assert not (finished(store, digits, keep_every=0).path / "epochs").exists()


def test_keeping_changes_nothing_of_the_training(store, digits, toy):
    with_them, without = finished(store, digits), finished(store, digits, keep_every=0)
    first, second = (load_file(run.path / "model.safetensors") for run in (with_them, without))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_an_epoch_that_is_trained_again_after_a_kill_is_the_same(store, digits, toy):
    whole, run = finished(store, digits), store.create(RECIPE)
    for event in (working := work(run, digits)):
        if isinstance(event, EpochEnd) and event.epoch == 3:
            working.close()  # as a kill between the end of an epoch and its being kept
            break
    assert epochs.kept_epochs(run.path) == [1, 2]
    for _ in work(store.get(run.id), digits):
        pass
    for epoch in epochs.kept_epochs(run.path):
        one, other = (load_file(epochs.epoch_file(path, epoch)) for path in (whole.path, run.path))
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_writing_that_takes_long_makes_way_for_training(store, digits, toy, monkeypatch):
    monkeypatch.setattr(worker, "SAVING_SHARE", 1e9)
    assert epochs.kept_epochs(finished(store, digits).path) == [1]
