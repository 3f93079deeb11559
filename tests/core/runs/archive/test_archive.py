"""A run as one zip: bit for bit the same in another store, and what happens to ids and parents."""

import json
import zipfile

import pytest
import torch
from filelock import FileLock

from core import models
from core.config import AnswersRecipe, KMeansRecipe, Prune, TrainRecipe
from core.errors import UserError
from core.events import EpochEnd, result_of
from core.hashes import write_with_hash
from core.models import saved
from core.models.card import ModelCard
from core.runs.archive.exporting import archive_bytes, export_run
from core.runs.archive.importing import import_run
from core.runs.archive.layout import MANIFEST
from core.runs.archive.unpacking import unpack_run
from core.runs.integrity import check_runs
from core.runs.run import MODEL, Status, read_run, write_status
from core.runs.store import RunStore
from core.runs.worker import Stop, work
from tests.core.test_hashes import flip_a_bit

RECIPE = TrainRecipe(
    model="LeNet5",
    dataset="Digits",
    device="cpu",
    prune=Prune(density=0.2),
    epochs=1,
    batch_size=16,
    train_images=40,
    keep_every=1,
)
CHILD = KMeansRecipe(clusters=4, round_images=64, epochs=1, train_images=64, device="cpu")
CARD = ModelCard(
    model="LeNet5",
    dataset="Digits",
    classes=tuple("0123456789"),
    mean=(0.2, 0.3, 0.4),
    std=(0.5, 0.6, 0.7),
    side=32,
)


@pytest.fixture
def elsewhere(tmp_path):
    """An empty store, as on another machine."""
    return RunStore(tmp_path / "elsewhere")


def untrained(store, seed=0, recipe=RECIPE, parent=None, token=None):
    """A finished run with an untrained network, without a packed file."""
    run = store.create(recipe, f"seed {seed}", parent=parent, token=token)
    torch.manual_seed(seed)
    state = models.build("LeNet5", 10).state_dict()
    write_with_hash(run.path / MODEL, saved.model_bytes(state, CARD))
    write_status(run.path, Status(state="finished"))
    return store.get(run.id)


def exported(run, folder):
    target = folder / f"{run.id}.zip"
    list(export_run(run, target))
    return target


def contents(folder):
    """The files of a run that belong into its zip; nothing else may be there after an import."""
    files = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {str(name): path.read_bytes() for name, path in files.items() if name.name != "lock"}


def without_worker(files):
    status = json.loads(files.pop("status.json"))
    return {**files, "status.json": status | {"worker": None}}


def test_a_training_and_its_child_are_the_same_elsewhere(store, elsewhere, digits, tmp_path):
    parent = store.create(RECIPE, "parent", tags=["mine"])
    list(work(parent, digits))
    child = store.create(CHILD, "child", parent=parent.id)
    list(work(child, digits))
    for run in (store.get(parent.id), store.get(child.id)):
        result = result_of(import_run(elsewhere, exported(run, tmp_path)))
        assert (result.run.id, result.is_new, result.notes) == (run.id, True, ())
        assert without_worker(contents(result.run.path)) == without_worker(contents(run.path))
    opened = elsewhere.get(child.id)
    assert [run.name for run in elsewhere.lineage(child.id)] == ["parent", "child"]
    assert opened.status.summary == store.get(child.id).status.summary
    assert elsewhere.events(child.id) == store.events(child.id)
    saved.read_model(opened.path / MODEL).network()
    assert {file.state for file in result_of(check_runs(elsewhere.list()))} == {"intact"}
    assert sorted(path.name for path in elsewhere.root.iterdir()) == sorted([parent.id, child.id])


def test_locks_temporary_and_foreign_files_and_process_ids_stay_behind(store, tmp_path):
    run = untrained(store)
    for name in ("lock", "cancel", ".model.safetensors.12ab.tmp", "notes.txt", "checkpoint.pt"):
        (run.path / name).write_bytes(b"x")
    write_status(run.path, Status(state="finished", worker={"pid": 1, "started": 2.0}))
    target = exported(store.get(run.id), tmp_path)
    with zipfile.ZipFile(target) as archive:
        names = set(archive.namelist())
        assert b'"worker": null' in archive.read(f"{run.id}/status.json")
    files = ("config.json", "status.json", "hashes.json", MODEL)
    assert names == {MANIFEST, *(f"{run.id}/{name}" for name in files)}
    assert target.stat().st_size < archive_bytes(run) + 2000 * len(names)


def test_equal_runs_give_equal_zips(store, tmp_path):
    run = untrained(store)
    first = exported(run, tmp_path).read_bytes()
    assert exported(run, tmp_path).read_bytes() == first


def test_a_stopped_run_takes_its_checkpoint_along(store, digits, tmp_path):
    run = store.create(RECIPE)
    events = work(run, digits, stop := Stop())
    next(event for event in events if isinstance(event, EpochEnd))
    stop.set()
    list(events)
    target = exported(store.get(run.id), tmp_path)
    folder = tmp_path / "unpacked"
    folder.mkdir()
    list(unpack_run(str(target), "run.zip", str(folder)))  # as the child does
    assert (folder / "checkpoint.pt").read_bytes() == (run.path / "checkpoint.pt").read_bytes()
    assert read_run(folder).state == "interrupted"


def test_an_active_run_is_not_exported(store, tmp_path):
    run = store.create(RECIPE, "busy")
    write_status(run.path, Status(state="running"))
    with (
        FileLock(run.path / "lock"),
        pytest.raises(UserError, match="“busy” is running: export it when it has ended"),
    ):
        exported(store.get(run.id), tmp_path)
    assert not list(tmp_path.glob("*.zip*"))


def test_a_damaged_file_is_not_exported(store, tmp_path):
    run = untrained(store)
    flip_a_bit(run.path / MODEL, place=-1)
    with pytest.raises(UserError, match="is damaged"):
        list(export_run(run, tmp_path / "run.zip"))
    with pytest.raises(UserError, match="cannot be written"):
        list(export_run(run, tmp_path / "nowhere" / "run.zip"))
    assert not list(tmp_path.glob("*run.zip*"))


def test_a_run_that_is_there_already_stays_as_it_is(store, tmp_path):
    run = untrained(store)
    target = exported(run, tmp_path)
    store.rename(run.id, "renamed")
    store.change_tags(run.id, add=["best"])
    before = contents(run.path)
    result = result_of(import_run(store, target))
    assert (result.is_new, result.notes) == (False, (f"“renamed” ({run.id}) is here already.",))
    assert contents(run.path) == before
    assert [path.name for path in store.root.iterdir() if not path.name.startswith(".")] == [run.id]


def test_another_run_with_the_same_id_gives_a_new_id_and_children_follow(
    store, elsewhere, tmp_path
):
    mine, theirs = untrained(store, 0, token="one"), untrained(elsewhere, 1, token="one")
    child = untrained(elsewhere, 2, KMeansRecipe(), parent=theirs.id)
    assert mine.id == theirs.id
    zips = [exported(run, tmp_path) for run in (theirs, child)]
    other = result_of(import_run(store, zips[0]))
    assert other.run.id != mine.id
    assert other.notes == (
        f"Another run has the id {mine.id}, so this one got the id {other.run.id}.",
    )
    assert result_of(import_run(store, zips[0])).notes == (
        f"“seed 1” ({other.run.id}) is here already.",
    )
    imported = result_of(import_run(store, zips[1]))
    assert imported.run.config.parent == other.run.id
    assert (imported.run.id, imported.notes) == (child.id, ())


def test_a_missing_or_another_parent_is_told(store, elsewhere, tmp_path):
    parent = untrained(store, 0, token="one")
    child = untrained(store, 2, KMeansRecipe(), parent=parent.id)
    target = exported(child, tmp_path)
    alone = result_of(import_run(elsewhere, target))
    assert alone.notes == (f"The run {parent.id}, which it was made from, is not here.",)
    assert alone.run.config.parent == parent.id
    third = RunStore(tmp_path / "third")
    untrained(third, 1, token="one")
    (note,) = result_of(import_run(third, target)).notes
    assert note == f"The run {parent.id} here is another one than that which it was made from."


def test_what_only_measures_a_run_needs_that_run(store, elsewhere, tmp_path):
    parent = untrained(store)
    answers = store.create(AnswersRecipe(), parent=parent.id)
    with pytest.raises(UserError, match=f"only measures the run {parent.id}.*import that run"):
        result_of(import_run(elsewhere, exported(answers, tmp_path)))
    assert list(elsewhere.root.iterdir()) == []
