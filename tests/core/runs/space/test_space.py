"""The disk that runs take, what can go, and that nothing goes which another run needs."""

import math
import time

import pytest
from filelock import FileLock

from core.config import AnswersRecipe, KMeansRecipe
from core.runs.run import Status, write_status
from core.runs.space.disk_use import DiskUse, disk_use
from core.runs.space.proposals import PROPOSAL_KINDS, propose, proposed_bytes
from core.runs.space.removal import remove_proposed
from tests.sample_runs import sample_run

DAY = 86_400


def bytes_below(*folders):
    return sum(
        file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file()
    )


def child_of(store, parent, state="finished", recipe=None):
    run = store.create(recipe or KMeansRecipe(), parent=parent.id)
    write_status(run.path, Status(state=state))
    return store.get(run.id)


def proposed(store, older_than=None):
    return {(item.kind, item.run_id): item.bytes for item in propose(store, older_than)}


def made_days_ago(store, run, days):
    text = (run.path / "config.json").read_text()
    created = f'"created":{run.config.created!r}'
    text = text.replace(created.replace(":", ": "), f'"created": {time.time() - days * DAY}')
    text = text.replace(created, f'"created": {time.time() - days * DAY}')
    (run.path / "config.json").write_text(text)


# -- disk use --


def test_each_run_takes_the_bytes_of_all_its_files(store):
    small, large = sample_run(store), sample_run(store)
    (large.path / "epochs").mkdir()
    (large.path / "epochs" / "1.safetensors").write_bytes(b"x" * 3000)
    use = disk_use(store.list(), math.inf)
    assert use.by_run == {run.id: bytes_below(run.path) for run in (small, large)}
    assert (use.total, use.is_complete) == (bytes_below(small.path, large.path), True)


def test_a_run_that_is_over_is_measured_once_and_again_when_it_changes(store):
    run = sample_run(store)
    before = disk_use([run], math.inf).by_run[run.id]
    assert disk_use([run], seconds=0).by_run == {run.id: before}  # nothing had to be measured
    (run.path / "packed.secateur").write_bytes(b"x" * 500)
    run = store.get(run.id)
    assert disk_use([run], seconds=0).is_complete is False
    assert disk_use([run], math.inf).by_run == {run.id: before + 500}


def test_runs_for_which_no_time_is_left_are_measured_by_a_later_call(store):
    runs = [sample_run(store) for _ in range(5)]
    assert disk_use(runs, seconds=0) == DiskUse({}, is_complete=False)
    disk_use(runs[:2], math.inf)
    some = disk_use(runs, seconds=0)
    assert (some.by_run.keys(), some.is_complete) == ({run.id for run in runs[:2]}, False)
    assert disk_use(runs, math.inf).is_complete


def test_an_active_run_is_measured_anew(store):
    run = sample_run(store, "running")
    with FileLock(run.path / "lock"):
        run = store.get(run.id)
        before = disk_use([run], math.inf).total
        with (run.path / "log.txt").open("ab") as log:
            log.write(b"x" * 100)
        assert disk_use([run], math.inf).total == before + 100


# -- clean-up --


def test_failed_and_cancelled_runs_without_children_and_tags_are_proposed(store):
    failed, cancelled = sample_run(store, "failed"), sample_run(store, "cancelled")
    tagged = sample_run(store, "failed")
    store.change_tags(tagged.id, add=["keep"])
    for state in ("finished", "interrupted", "created"):
        sample_run(store, state)
    assert proposed(store) == {
        ("stopped", run.id): bytes_below(run.path) for run in (failed, cancelled)
    }


def test_old_runs_are_proposed_but_none_that_another_was_made_from(store):
    parent, lonely, young = (sample_run(store) for _ in range(3))
    child = child_of(store, parent)
    measuring = child_of(store, lonely, recipe=AnswersRecipe())
    for run in (parent, child, lonely):
        made_days_ago(store, run, 100)
    assert proposed(store) == {}
    assert proposed(store, 200) == {}
    assert proposed(store, 90) == {
        ("old", child.id): bytes_below(child.path),
        ("old", lonely.id): bytes_below(lonely.path, measuring.path),
    }
    assert young.id in [run.id for run in store.list()]


def test_checkpoints_of_finished_runs_go_and_those_of_stopped_ones_stay(store):
    finished, stopped = sample_run(store), sample_run(store, "interrupted")
    for run in (finished, stopped):
        (run.path / "checkpoint.pt").write_bytes(b"x" * 700)
    proposals = propose(store)
    assert [(item.kind, item.run_id, item.bytes) for item in proposals] == [
        ("checkpoints", finished.id, 700)
    ]
    with FileLock(finished.path / "lock"):
        assert remove_proposed(store, proposals) == []
    assert remove_proposed(store, proposals) == proposals
    assert not (finished.path / "checkpoint.pt").exists()
    assert (stopped.path / "checkpoint.pt").exists()


def test_runs_go_to_the_trash_after_it_was_emptied(store):
    deleted, failed = sample_run(store), sample_run(store, "failed")
    measuring = child_of(store, deleted, recipe=AnswersRecipe())
    number = bytes_below(deleted.path, measuring.path)
    store.delete(deleted.id)
    proposals = propose(store)
    assert proposed(store)["trash", deleted.id] == number
    assert proposed_bytes(remove_proposed(store, proposals)) == proposed_bytes(proposals)
    assert [run.id for run in store.trash()] == [failed.id]
    assert [path.name for path in (store.root / ".trash").iterdir()] == [failed.id]
    assert store.restore(failed.id).state == "failed"


@pytest.mark.parametrize("change", ["tag", "child", "resume", "delete"])
def test_what_was_used_since_the_preview_stays(store, change):
    run = sample_run(store)
    made_days_ago(store, run, 100)
    proposals = propose(store, 90)
    assert len(proposals) == 1
    lock = FileLock(run.path / "lock")
    if change == "tag":
        store.change_tags(run.id, add=["keep"])
    elif change == "child":
        child_of(store, run)
    elif change == "resume":
        write_status(run.path, Status(state="running"))
        lock.acquire()
    else:
        store.delete(run.id)
    assert remove_proposed(store, proposals, 90) == []
    lock.release()
    assert (run.path.exists(), len(store.trash())) == ((change != "delete"), change == "delete")


def test_what_was_not_chosen_stays(store):
    runs = [sample_run(store, "failed") for _ in range(3)]
    chosen = [item for item in propose(store) if item.run_id == runs[1].id]
    remove_proposed(store, chosen)
    assert {run.id for run in store.list()} == {runs[0].id, runs[2].id}


def test_the_largest_of_each_kind_comes_first(store):
    small, large = sample_run(store, "failed"), sample_run(store, "failed")
    (large.path / "initial.safetensors").write_bytes(b"x" * 9000)
    deleted = sample_run(store)
    store.delete(deleted.id)
    assert [item.run_id for item in propose(store)] == [large.id, small.id, deleted.id]
    assert [kind for kind, facts in PROPOSAL_KINDS.items() if facts.to_trash] == ["stopped", "old"]
