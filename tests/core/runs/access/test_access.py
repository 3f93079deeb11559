"""Every action on a run passes one rule: its owner and admins may change it, nobody else."""

import pytest

from core.errors import UserError
from core.runs import launch
from core.runs.access.access import Access
from core.runs.access.person import Person
from core.runs.access.rules import Rules
from core.runs.answers import request_answers
from core.runs.run import Run, write_status
from core.runs.space.proposals import propose
from core.runs.space.removal import remove_proposed
from core.runs.store import RunStore
from core.runs.sweeps import launch as sweep_launch
from core.runs.sweeps.store import SweepStore
from tests.sample_runs import RECIPE, sample_run

RULES = Rules(admins=("chief@example.org",))
ANN = Person(id="ann@example.org", name="Ann Lee")
BOB = Person(id="bob@example.org", name="Bob Ray")
CHIEF = Person(id="chief@example.org", name="The Chief")


@pytest.fixture
def shared(tmp_path):
    """A function that opens the same runs for a person; None is the machine's own user."""

    def open_for(person, rules=RULES):
        return RunStore(tmp_path / "runs", Access(person, rules))

    return open_for


ACTIONS = {
    "cancel": lambda store, run: launch.cancel(run),
    "resume": lambda store, run: launch.reopen(run),
    "force stop": lambda store, run: launch.force_stop(run),
    "rename": lambda store, run: store.rename(run.id, "Mine"),
    "tag": lambda store, run: store.change_tags(run.id, add=["mine"]),
    "delete": lambda store, run: store.delete(run.id),
}
"""Everything that changes a run that is there."""


@pytest.mark.parametrize("action", ACTIONS)
def test_nobody_changes_the_run_of_somebody_else(shared, action):
    sample_run(shared(ANN), "cancelled", name="Ann's")
    store = shared(BOB)
    (run,) = store.list()
    with pytest.raises(UserError, match="“Ann's” belongs to Ann Lee: only they or an admin"):
        ACTIONS[action](store, run)
    assert [(other.name, other.tags, other.state) for other in store.list()] == [
        ("Ann's", (), "cancelled")
    ]


@pytest.mark.parametrize("person", [ANN, CHIEF, None], ids=["owner", "admin", "command line"])
@pytest.mark.parametrize("action", [name for name in ACTIONS if name != "force stop"])
def test_the_owner_an_admin_and_the_command_line_may(shared, action, person):
    sample_run(shared(ANN), "cancelled", name="Ann's")
    store = shared(person)
    (run,) = store.list()
    ACTIONS[action](store, run)


def test_a_run_keeps_its_owner_and_one_without_a_login_has_none(shared):
    assert shared(ANN).create(RECIPE).owner == ANN
    assert shared(None).create(RECIPE).owner is None


def test_a_person_with_another_name_still_owns_their_runs(shared):
    run = sample_run(shared(ANN), "cancelled")
    married = Person(id=ANN.id, name="Ann Ray")
    assert shared(married).rename(run.id, "Again").name == "Again"


def test_a_run_that_nobody_owns_is_changed_by_admins_only(shared):
    run = sample_run(shared(None))
    with pytest.raises(UserError, match="belongs to nobody: only an admin"):
        shared(ANN).delete(run.id)
    shared(CHIEF).delete(run.id)


def test_everybody_looks_at_and_starts_from_the_runs_of_others(shared):
    run = sample_run(shared(ANN))
    store = shared(BOB)
    assert store.get(run.id).owner == ANN
    assert store.lineage(run.id)
    copy = store.create(run.recipe)
    assert copy.owner == BOB


def test_the_trash_of_others_stays(shared):
    mine = sample_run(shared(BOB), name="Bob's")
    for store, run in ((shared(ANN), sample_run(shared(ANN), name="Ann's")), (shared(BOB), mine)):
        store.delete(run.id)
    bobs = shared(BOB)
    anns = next(run.id for run in bobs.trash() if run.owner == ANN)
    for change in (bobs.restore, bobs.delete_for_good):
        with pytest.raises(UserError, match="belongs to Ann Lee"):
            change(anns)
    assert bobs.empty_trash() > 0
    assert [run.id for run in bobs.trash()] == [anns]
    shared(CHIEF).empty_trash()
    assert bobs.trash() == []


def test_clean_up_proposes_and_removes_only_what_one_may_delete(shared):
    anns = sample_run(shared(ANN), name="Ann's")
    bobs = sample_run(shared(BOB), name="Bob's")
    for run in (anns, bobs):
        (run.path / "checkpoint.pt").write_bytes(b"left")
    everything = propose(shared(CHIEF))
    assert len(everything) == 2
    assert [item.name for item in propose(shared(BOB))] == ["Bob's"]
    assert [item.name for item in remove_proposed(shared(BOB), everything)] == ["Bob's"]
    assert (anns.path / "checkpoint.pt").exists()


def test_a_measurement_of_a_run_is_for_everybody(shared):
    parent = sample_run(shared(ANN))
    test = request_answers(shared(ANN), parent, None)
    write_status(test.path, test.status.model_copy(update={"state": "failed"}))
    assert launch.reopen(shared(BOB).get(test.id))
    with pytest.raises(UserError, match="belongs to Ann Lee"):
        launch.cancel(shared(BOB).get(test.id))  # it is about to work


def test_a_sweep_and_its_runs_belong_to_the_one_who_made_it(shared, tmp_path):
    sweeps = SweepStore(shared(ANN), tmp_path)
    sweep = sweeps.create([(RECIPE,)])
    assert sweep.owner == ANN
    bobs = SweepStore(shared(BOB), tmp_path)
    for change in (
        lambda: sweep_launch.start(bobs.get(sweep.id), tmp_path),
        lambda: sweep_launch.cancel(bobs.get(sweep.id)),
        lambda: bobs.add(sweep.id, [(RECIPE.model_copy(update={"seed": 1}),)]),
        lambda: bobs.delete(sweep.id),
    ):
        with pytest.raises(UserError, match="belongs to Ann Lee"):
            change()
    SweepStore(shared(CHIEF), tmp_path).delete(sweep.id)


def test_read_only_means_that_nothing_is_written(shared):
    run = sample_run(shared(None), "cancelled")
    store = shared(None, Rules(read_only=True))
    before = snapshot(store.root)
    (read,) = store.list()
    changes = [*ACTIONS.values(), lambda store, run: store.create(RECIPE), empty]
    for change in changes:
        with pytest.raises(UserError, match="read-only"):
            change(store, read)
    store.tidy()
    assert snapshot(store.root) == before
    assert run.id == read.id


def empty(store: RunStore, run: Run) -> None:
    store.empty_trash()


def snapshot(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
