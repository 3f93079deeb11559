"""The list of all runs is read once, and again where something has changed."""

import json
import shutil
import threading

import pytest
from filelock import FileLock

from core.config import TrainRecipe
from core.runs import listing
from core.runs.run import Status, write_status
from core.runs.store import RunStore
from tests.sample_runs import make_older

pytestmark = pytest.mark.usefixtures("nothing_read")

RECIPE = TrainRecipe(model="LeNet5", dataset="Digits")


def old_runs(store, count):
    return [make_older(store.create(RECIPE)) for _ in range(count)]


def test_nothing_is_read_twice(store, reads):
    runs = old_runs(store, 3)
    first = store.scan()
    assert sorted(reads) == sorted(run.id for run in runs)
    reads.clear()
    assert RunStore(store.root).scan() == first
    assert reads == []


def overwrite_status(run):
    content = Status(state="failed", message="x").model_dump_json()
    (run.path / "status.json").write_text(content)


def overwrite_config(run):
    config = json.loads((run.path / "config.json").read_text())
    (run.path / "config.json").write_text(json.dumps(config | {"name": "another"}))


@pytest.mark.parametrize(
    "change",
    [
        lambda run: write_status(run.path, Status(state="finished", epoch=9)),
        lambda run: RunStore(run.path.parent).rename(run.id, "another"),
        lambda run: (run.path / "config.json").unlink(),
        lambda run: (run.path / "status.json").unlink(),
        lambda run: (run.path / "config.json").write_text("{"),
        lambda run: shutil.rmtree(run.path),
        lambda run: RunStore(run.path.parent).delete(run.id),
        overwrite_status,
        overwrite_config,
    ],
)
def test_a_changed_run_is_read_again_and_no_other(store, reads, change):
    changed, other = old_runs(store, 2)
    store.scan()
    reads.clear()
    change(changed)
    seen = store.scan()
    assert other.id not in reads
    listing.forget_runs()
    assert store.scan() == seen


def test_two_changes_within_one_tick_of_the_clock_are_both_seen(store):
    """The second may leave date, size and number of the file as they were."""
    run = store.create(RECIPE)
    for epoch in range(200):
        (run.path / "status.json").write_text(Status(epoch=epoch % 10).model_dump_json())
        assert store.list()[0].status.epoch == epoch % 10


def test_the_lock_of_an_active_run_is_asked_every_time(store, reads):
    (run,) = old_runs(store, 1)
    write_status(run.path, Status(state="running"))
    make_older(run)
    assert store.list()[0].state == "interrupted"
    with FileLock(run.path / "lock"):
        make_older(run)
        assert store.list()[0].state == "running"
        reads.clear()
        assert store.list()[0].alive
        assert reads == []
    assert store.list()[0].state == "interrupted"
    assert reads == []


def test_a_restored_run_and_one_that_took_the_place_of_another(store):
    (run,) = old_runs(store, 1)
    store.scan()
    store.delete(run.id)
    assert store.list() == []
    store.restore(run.id)
    assert store.list() == [run]
    other = store.create(RECIPE, "other", token="t")
    make_older(other)
    store.scan()
    store.delete(other.id)
    new = store.create(RECIPE, "new", token="t")
    make_older(new)
    assert {run.name for run in store.list()} == {run.name, "new"}


def test_the_memory_is_bounded(tmp_path, monkeypatch):
    for number in range(6):
        RunStore(tmp_path / str(number)).create(RECIPE)
        RunStore(tmp_path / str(number)).list()
    assert len(listing._memory) == listing._MOST_FOLDERS
    monkeypatch.setattr(listing, "_MOST_RUNS", 2)
    store = RunStore(tmp_path / "many")
    old_runs(store, 4)
    for _ in range(2):
        assert len(store.list()) == 4
    assert len(listing._memory[str(store.root)]) == 2


def test_many_threads_list_while_runs_come_and_go(store):
    old_runs(store, 20)
    errors, stop = [], threading.Event()

    def keep_listing():
        while not stop.is_set():
            try:
                runs, damaged = RunStore(store.root).scan()
                assert len(runs) >= 20
                assert damaged == []
            except BaseException as error:
                errors.append(error)

    threads = [threading.Thread(target=keep_listing) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(30):
        store.delete(store.create(RECIPE).id)
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(store.list()) == 20
