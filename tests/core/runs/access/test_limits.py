"""No run is made, started or imported beyond a limit, and the sentence says what to do."""

import shutil

import pytest

from core.errors import UserError
from core.runs import launch
from core.runs.access.access import Access
from core.runs.access.person import Person
from core.runs.access.rules import Rules
from core.runs.lock import RunLock
from core.runs.run import write_status
from core.runs.store import RunStore
from tests.sample_runs import RECIPE, sample_run

ANN = Person(id="ann@example.org", name="Ann Lee")
BOB = Person(id="bob@example.org", name="Bob Ray")


@pytest.fixture
def limited(tmp_path):
    """A function that opens the runs for a person under rules."""

    def open_for(person, **rules):
        return RunStore(tmp_path / "runs", Access(person, Rules(**rules)))

    return open_for


def test_a_person_has_so_many_runs_at_once(limited):
    anns = limited(ANN, most_runs=1)
    run = anns.create(RECIPE, token="first")
    with RunLock(run.path) as lock:
        assert lock.take(timeout=1)
        write_status(run.path, run.status.model_copy(update={"state": "running"}))
        with pytest.raises(UserError, match="1 run is queued or running for you, and 1 may be"):
            anns.create(RECIPE)
        assert anns.create(RECIPE, token="first").id == run.id  # a double click
        assert limited(BOB, most_runs=1).create(RECIPE).owner == BOB
    assert anns.create(RECIPE).owner == ANN


def test_the_limit_holds_for_a_run_that_is_continued(limited):
    anns = limited(ANN, most_runs=1)
    stopped = sample_run(anns, "cancelled")
    working = anns.create(RECIPE)
    with RunLock(working.path) as lock:
        assert lock.take(timeout=1)
        write_status(working.path, working.status.model_copy(update={"state": "queued"}))
        with pytest.raises(UserError, match="wait for one, or cancel one"):
            launch.reopen(anns.get(stopped.id))
    assert launch.reopen(anns.get(stopped.id))


def test_the_disk_must_have_room(limited, tmp_path):
    free = shutil.disk_usage(tmp_path).free / 1e9
    limited(None, free_gb=free / 2).create(RECIPE)
    with pytest.raises(UserError, match="GB must stay free: delete runs"):
        limited(None, free_gb=free * 2).create(RECIPE)


def test_all_runs_and_the_trash_take_so_much(limited):
    store = limited(None)
    runs = [store.create(RECIPE) for _ in range(2)]
    for run in runs:
        (run.path / "weights").write_bytes(b"0" * 600_000)
    limited(None, runs_gb=0.01).create(RECIPE)
    for run in runs:  # what is in the trash still takes the disk
        with pytest.raises(UserError, match=r"and 0\.001 GB may be: delete runs"):
            limited(None, runs_gb=0.001).create(RECIPE)
        store.delete(run.id)
    store.empty_trash()
    limited(None, runs_gb=0.001).create(RECIPE)


def test_a_limit_stops_nothing_that_is_only_looked_at(limited):
    run = sample_run(limited(ANN))
    store = limited(ANN, runs_gb=1e-9)
    assert store.get(run.id).name == run.name
    assert store.rename(run.id, "Renamed").name == "Renamed"
