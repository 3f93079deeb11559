"""Old runs in the trash, and drafts that a kill left behind, are deleted for good."""

import os
import time

import pytest
from filelock import FileLock

from core.config import TrainRecipe
from core.runs import trash
from core.runs.run import Status, write_status

RECIPE = TrainRecipe(model="LeNet5", dataset="Digits")
DAY = 86_400


@pytest.fixture(autouse=True)
def _never_tidied():
    trash._tidied.clear()


def age(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_the_trash_is_emptied_after_thirty_days(store):
    old, recent = store.create(RECIPE), store.create(RECIPE)
    age(recent.path, 100 * DAY)  # how old the run itself is does not matter
    for run in (old, recent):
        store.delete(run.id)
    age(store.root / ".trash" / old.id, 31 * DAY)
    age(store.root / ".trash" / recent.id, 29 * DAY)
    store.tidy()
    assert [run.id for run in store.trash()] == [recent.id]
    assert sorted(path.name for path in store.root.iterdir()) == [".trash"]
    assert store.restore(recent.id).id == recent.id


def test_a_deletion_is_dated_when_it_happens(store):
    run = store.create(RECIPE)
    age(run.path, 100 * DAY)
    store.delete(run.id)
    store.tidy()
    assert [run.id for run in store.trash()] == [run.id]


def test_the_size_of_the_trash(store):
    assert store.trash_bytes() == 0
    run = store.create(RECIPE)
    (run.path / "model.safetensors").write_bytes(b"x" * 5000)
    (run.path / "epochs").mkdir()
    (run.path / "epochs" / "1.safetensors").write_bytes(b"x" * 3000)
    expected = sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file())
    store.delete(run.id)
    assert store.trash_bytes() == expected
    assert store.empty_trash() == expected
    assert store.trash_bytes() == 0


def test_old_drafts_are_swept_and_those_in_use_are_not(store):
    run, active = store.create(RECIPE), store.create(RECIPE)
    write_status(active.path, Status(state="running"))
    old, fresh = store.root / ".new-0000aaaa", store.root / ".new-1111bbbb"
    for draft in (old, fresh):
        draft.mkdir()
        (draft / "config.json").write_text("{")
        age(draft / "config.json", 2 * 3600)
        age(draft, 2 * 3600)
    (fresh / "source").write_bytes(b"still being written")
    age(fresh, 2 * 3600)
    leftovers = [run.path / ".model.safetensors.12ab.tmp", active.path / ".x.34cd.tmp"]
    for file in (*leftovers, run.path / "notes.tmp"):
        file.write_bytes(b"x")
        age(file, 2 * 3600)
    (run.path / ".status.json.56ef.tmp").write_bytes(b"being written")
    with FileLock(active.path / "lock"):
        store.tidy()
    assert not old.exists()
    assert fresh.exists()
    assert [file.exists() for file in leftovers] == [False, True]
    assert (run.path / "notes.tmp").exists()
    assert (run.path / ".status.json.56ef.tmp").exists()
    assert {one.id for one in store.list()} == {run.id, active.id}


def test_tidying_happens_once_an_hour(store):
    store.create(RECIPE)
    store.tidy()
    draft = store.root / ".new-0000aaaa"
    draft.mkdir()
    age(draft, 2 * 3600)
    store.tidy()
    assert draft.exists()
    trash._tidied[store.root] -= 3601
    store.tidy()
    assert not draft.exists()


def test_a_folder_that_is_not_there_is_not_made(store):
    store.tidy()
    assert not store.root.exists()
