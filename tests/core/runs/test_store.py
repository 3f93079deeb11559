"""Runs on disk: made once, found beside damaged ones, deleted and restored."""

import json
import threading
import time

import pytest
from filelock import FileLock

from core.config import AffineRecipe, KMeansRecipe, Prune, TrainRecipe
from core.errors import UserError
from core.events import EpochEnd
from core.runs import run as running
from core.runs import store as storing
from core.runs.epochs import kept_epochs
from core.runs.run import ACTIVE, MODEL, Status, read_status, write_status
from core.runs.store import RunStore, describe_recipe
from tests.sample_runs import sample_run

RECIPE = TrainRecipe(model="LeNet5", dataset="Digits")
EPOCH_END = EpochEnd(1, 4, 1.0, 0.5, 1.0, 0.5, 0.1, 100.0, 1.0, 2.0).to_dict()
BAD_IDS = [
    "",
    ".",
    "..",
    "../x",
    "..%2fx",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "ABCDEF0123",
    "0123456789\n",
    "012345678",
    "\uff10123456789",
    "0123456789a",
    ".trash",
    None,
    7,
    "0123456789\0",
]


def put(run, **status):
    write_status(run.path, Status(**status))


# -- making --


def test_a_new_run_is_what_was_asked_for(store):
    run = store.create(RECIPE, "  a \n name\0 ", files={"source": b"weights"})
    assert (run.name, run.recipe, run.config.parent) == ("a name", RECIPE, None)
    assert (run.model, run.dataset, run.density) == ("LeNet5", "Digits", 0.05)
    assert (run.state, run.alive) == ("created", False)
    assert run == store.get(run.id)
    assert sorted(path.name for path in run.path.iterdir()) == [
        "config.json",
        "source",
        "status.json",
    ]
    assert (run.path / "source").read_bytes() == b"weights"
    assert abs(run.config.created - time.time()) < 60


def test_a_recipe_from_before_the_score_mode_was_scored_in_training_mode(store):
    run = store.create(RECIPE)
    assert run.recipe == RECIPE
    file = run.path / "config.json"
    config = json.loads(file.read_text())
    assert config["recipe"]["prune"].pop("score_mode") == "eval"
    file.write_text(json.dumps(config))
    assert store.get(run.id).recipe.prune == Prune(score_mode="train")
    dense = store.create(RECIPE.model_copy(update={"prune": None}))
    assert store.get(dense.id).recipe.prune is None


def test_one_token_makes_one_run(store):
    first = store.create(RECIPE, token="t")
    assert store.create(RECIPE, "another name", token="t") == first
    assert store.create(RECIPE, token="u").id != first.id
    assert store.create(RECIPE).id != store.create(RECIPE).id
    assert len(store.list()) == 4


def test_one_token_at_once_makes_one_run(store):
    barrier, ids, errors = threading.Barrier(8), [], []

    def create():
        barrier.wait()
        try:
            ids.append(store.create(RECIPE, token="t").id)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(ids) == 8
    assert [path.name for path in store.root.iterdir()] == [ids[0]]
    assert set(ids) == {ids[0]}


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        UserError, match=r"^The folder for runs, .*file.* cannot be written .*--runs-dir"
    ):
        RunStore(tmp_path / "file" / "runs").create(RECIPE)


def test_a_full_disk_leaves_no_half_run(store, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    store.create(RECIPE)
    monkeypatch.setattr(storing, "write_atomically", full)
    with pytest.raises(UserError, match="No space left on device"):
        store.create(RECIPE)
    assert len(list(store.root.iterdir())) == 1


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        (TrainRecipe(), "VGG16 · CIFAR10 · 5% kept"),
        (TrainRecipe(prune=None), "VGG16 · CIFAR10 · dense"),
        (TrainRecipe(prune=Prune(density=1)), "VGG16 · CIFAR10 · 100% kept"),
        (TrainRecipe(prune=Prune(density=0.1)), "VGG16 · CIFAR10 · 10% kept"),
        (TrainRecipe(prune=Prune(density=0.0125)), "VGG16 · CIFAR10 · 1.25% kept"),
        (
            TrainRecipe(model="LeNet5", prune=Prune(density=0.2, method="synflow")),
            "LeNet5 · CIFAR10 · 20% kept synflow",
        ),
    ],
)
def test_the_name_of_a_run_without_one(recipe, name):
    assert describe_recipe(recipe) == name


# -- finding --


@pytest.mark.parametrize("bad", BAD_IDS)
@pytest.mark.parametrize(
    "method", ["get", "events", "epochs", "log", "delete", "restore", "lineage"]
)
def test_only_an_id_ever_becomes_a_path(store, method, bad):
    store.create(RECIPE)
    (store.root.parent / "x").mkdir()
    with pytest.raises(UserError, match=r"not a run's id"):
        getattr(store, method)(bad)
    with pytest.raises(UserError, match=r"not a run's id"):
        store.rename(bad, "name")


def test_an_unknown_id_says_so(store):
    with pytest.raises(UserError, match="There is no run 'abcdef0123'"):
        store.get("abcdef0123")
    assert store.events("abcdef0123") == []
    assert store.log("abcdef0123") == ""
    assert store.list() == []


def test_a_thousand_runs_newest_first(store, monkeypatch):
    first = store.create(RECIPE)
    config = json.loads((first.path / "config.json").read_text())
    for index in range(1, 1000):
        id = f"{index:010x}"
        (store.root / id).mkdir()
        changed = config | {"id": id, "created": 1000 + index % 7 + index}
        (store.root / id / "config.json").write_text(json.dumps(changed))
        (store.root / id / "status.json").write_text(
            Status(state="finished", epoch=index).model_dump_json()
        )
    runs = store.list()
    assert len(runs) == 1000
    assert runs[0].id == first.id
    assert [run.config.created for run in runs] == sorted(
        (run.config.created for run in runs), reverse=True
    )
    assert all(run.status.epoch == int(run.id, 16) for run in runs[1:])


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", "null", '{"id": 1}', "\0" * 100, b"\xed\xa0\x80"]
)
def test_a_damaged_run_is_named_and_hides_no_other(store, damage):
    good, bad = store.create(RECIPE), store.create(RECIPE)
    (bad.path / "config.json").write_bytes(damage if isinstance(damage, bytes) else damage.encode())
    assert store.scan() == ([good], [bad.id])
    with pytest.raises(
        UserError, match=rf"^The run {bad.id} cannot be read: .*config.json is damaged"
    ):
        store.get(bad.id)


def test_a_folder_without_a_config_is_damaged_and_a_stranger_is_not_a_run(store):
    run = store.create(RECIPE)
    (store.root / "0123456789").mkdir()
    (store.root / "notes").mkdir()
    (store.root / ".new-12").mkdir()
    assert store.scan() == ([run], ["0123456789"])


@pytest.mark.parametrize("damage", [b"", b"{", b'{"state": "dancing"}', b"\xff\xfe", None])
def test_a_damaged_status_is_the_first_one_again(store, damage):
    run = store.create(RECIPE)
    put(run, state="running", epoch=3)
    if damage is None:
        (run.path / "status.json").unlink()
    else:
        (run.path / "status.json").write_bytes(damage)
    assert read_status(run.path) == Status()
    assert store.get(run.id).state == "created"
    assert store.get(run.id).resumable


def test_events_survive_torn_and_foreign_lines(store):
    run = store.create(RECIPE)
    lines = [
        '{"event": "note", "text": "a\\u2028b"}',
        "",
        "[1]",
        '"x"',
        "nonsense",
        '{"no": "event"}',
        json.dumps(EPOCH_END),
        '{"event": "epochend", "epo',
    ]
    (run.path / "events.jsonl").write_bytes("\n".join(lines).encode() + b"\xff")
    assert [event["event"] for event in store.events(run.id)] == ["note", "epochend"]
    assert [row["epoch"] for row in store.epochs(run.id)] == [1]


def test_an_epoch_that_was_trained_again_counts_once(store):
    run = store.create(RECIPE)
    rows = [(1, 0.1), (2, 0.2), (3, 0.3), (2, 0.25), (3, 0.35)]
    with (run.path / "events.jsonl").open("w") as file:
        for epoch, accuracy in rows:
            print(
                json.dumps(EPOCH_END | {"epoch": epoch, "test_accuracy": accuracy}),
                file=file,
            )
    assert [(row["epoch"], row["test_accuracy"]) for row in store.epochs(run.id)] == [
        (1, 0.1),
        (2, 0.25),
        (3, 0.35),
    ]


@pytest.mark.parametrize("name", ["status.json", "events.jsonl", "log.txt", "lock", "epochs"])
def test_a_folder_in_the_place_of_a_file_and_the_reverse(store, name):
    run = store.create(RECIPE)
    (run.path / name).unlink(missing_ok=True)
    if name == "epochs":
        (run.path / name).write_text("no folder")
    else:
        (run.path / name).mkdir()
    assert store.get(run.id).state == "created"
    assert [found.id for found in store.list()] == [run.id]
    assert store.events(run.id) == store.epochs(run.id) == []
    assert store.log(run.id) == ""
    assert kept_epochs(run.path) == []


def test_a_model_that_is_a_folder_is_none(store):
    run = store.create(RECIPE)
    put(run, state="finished")
    (run.path / MODEL).mkdir()
    assert not store.get(run.id).has_model


@pytest.mark.parametrize(
    "status",
    [
        *["7", "[]", "null", '"x"', '{"state": 1}', '{"epoch": "many"}', "[" * 10_000],
        *['{"accuracies": [null]}', '{"summary": 3}', '{"summary": []}', '{"worker": 7}'],
        *['{"updated_at": "soon"}', '{"state": "running", "epochs": {}}'],
    ],
    ids=lambda text: text[:20],
)
def test_an_odd_status_is_that_of_a_new_run(store, status):
    run = store.create(RECIPE)
    (run.path / "status.json").write_text(status)
    assert store.get(run.id).state == "created"
    assert len(store.list()) == 1


@pytest.mark.parametrize("created", [-1, 1e300, "Infinity", "NaN", '"long ago"'])
def test_a_date_that_no_calendar_has_is_damage(store, created):
    run = store.create(RECIPE)
    text = (run.path / "config.json").read_text()
    config = json.loads(text) | {"created": "DATE"}
    (run.path / "config.json").write_text(json.dumps(config).replace('"DATE"', str(created)))
    assert store.scan() == ([], [run.id])


def test_the_end_of_a_long_log(store):
    run = store.create(RECIPE)
    (run.path / "log.txt").write_bytes("é".encode() * 1000 + b"end")
    assert store.log(run.id, 6).endswith("end")
    assert len(store.log(run.id)) == 1003


def finished(store, recipe, parent=None):
    run = store.create(recipe, parent=parent)
    (run.path / MODEL).write_bytes(b"weights")
    put(run, state="finished")
    return run


def test_lineage(store):
    eldest = finished(store, RECIPE)
    middle = finished(store, KMeansRecipe(), eldest.id)
    youngest = finished(store, AffineRecipe(), middle.id)
    assert [run.id for run in store.lineage(youngest.id)] == [eldest.id, middle.id, youngest.id]
    assert (youngest.model, youngest.dataset, youngest.density) == (
        eldest.model,
        eldest.dataset,
        eldest.density,
    )
    store.delete(eldest.id)
    assert [run.id for run in store.lineage(youngest.id)] == [middle.id, youngest.id]


@pytest.mark.parametrize("parent", ["../../etc", "config.json", "no id"])
def test_a_lineage_ends_before_what_cannot_be_read(store, parent):
    eldest = finished(store, RECIPE)
    run = finished(store, KMeansRecipe(), eldest.id)
    (eldest.path / "config.json").write_text("{")
    assert [one.id for one in store.lineage(run.id)] == [run.id]
    config = json.loads((run.path / "config.json").read_text())
    (run.path / "config.json").write_text(json.dumps(config | {"parent": parent}))
    assert [one.id for one in store.lineage(run.id)] == [run.id]


def test_only_a_finished_run_can_be_a_parent(store):
    with pytest.raises(
        UserError, match=r"^“LeNet5 · Digits · 5% kept” has no result to start from: it is created"
    ):
        store.create(KMeansRecipe(), parent=store.create(RECIPE).id)
    with pytest.raises(UserError, match="There is no run"):
        store.create(KMeansRecipe(), parent="0" * 10)


@pytest.mark.parametrize("recipe", [KMeansRecipe(), AffineRecipe()])
def test_quantization_needs_a_parent(store, recipe):
    with pytest.raises(UserError, match=r"needs a parent: the run whose network is quantized\.$"):
        store.create(recipe)
    assert store.list() == []


def test_what_starts_without_a_network_takes_no_parent(store):
    parent = finished(store, RECIPE)
    with pytest.raises(UserError, match=r"^“LeNet5 · Digits · 5% kept” takes no parent\.$"):
        store.create(RECIPE, parent=parent.id)


def test_an_unknown_kind_of_recipe_is_one_sentence(store):
    run = store.create(RECIPE)
    config = json.loads((run.path / "config.json").read_text())
    config["recipe"]["kind"] = "distill"
    (run.path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"is damaged \(recipe: Input tag 'distill' .*\)\.$"):
        store.get(run.id)


def test_a_lineage_that_bites_its_tail_ends(store):
    run = store.create(RECIPE)
    config = json.loads((run.path / "config.json").read_text())
    (run.path / "config.json").write_text(json.dumps(config | {"parent": run.id}))
    assert {ancestor.id for ancestor in store.lineage(run.id)} == {run.id}


# -- alive means the lock is held --


@pytest.mark.parametrize(
    ("said", "free", "held"),
    [
        ("created", "created", "created"),
        ("queued", "interrupted", "queued"),
        ("running", "interrupted", "running"),
        ("starting", "interrupted", "starting"),
        ("finished", "finished", "finished"),
        ("failed", "failed", "failed"),
        ("cancelled", "cancelled", "cancelled"),
        ("interrupted", "interrupted", "interrupted"),
    ],
)
def test_the_lock_corrects_the_status(store, monkeypatch, said, free, held):
    monkeypatch.setattr(running, "STARTING_SECONDS", 0)
    run = store.create(RECIPE)
    put(run, state=said)
    assert store.get(run.id).state == free
    with FileLock(run.path / "lock"):
        now = store.get(run.id)
        assert now.state == held
        assert now.alive == (said in ACTIVE)
        assert now.resumable == (not now.active and held != "finished")
    assert store.get(run.id).state == free


def test_a_run_that_was_just_started_is_starting(store):
    run = store.create(RECIPE)
    put(run, state="starting")
    assert store.get(run.id).state == "starting"
    status = json.loads((run.path / "status.json").read_text())
    (run.path / "status.json").write_text(json.dumps(status | {"updated_at": time.time() - 1000}))
    assert store.get(run.id).state == "interrupted"


def test_who_asks_at_once_does_not_take_the_other_for_a_worker(store):
    """Asking whether a lock is free takes it for a moment, which must not look like a worker to
    somebody else.
    """
    run = store.create(RECIPE)
    put(run, state="running")
    seen, barrier = set(), threading.Barrier(4)

    def ask():
        barrier.wait()
        for _ in range(200):
            seen.add(store.get(run.id).state)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {"interrupted"}


@pytest.mark.parametrize(
    ("status", "share"),
    [
        (Status(), 0),
        (Status(epochs=4), 0),
        (Status(epochs=4, epoch=1, done=5, total=10, unit="batches"), 0.375),
        (Status(epochs=4, epoch=0, done=5, total=10, unit="bytes"), 0),
        (Status(epochs=4, epoch=4), 1),
        (Status(epochs=4, epoch=4, done=10, total=10, unit="batches"), 1),
    ],
)
def test_progress(status, share):
    assert status.progress == share


# -- changing --


def test_rename(store):
    run = store.create(RECIPE, "old")
    assert store.rename(run.id, " new\tname ").name == "new name"
    assert store.get(run.id).config == run.config.model_copy(update={"name": "new name"})
    for empty in ("", "  ", "\n\0"):
        with pytest.raises(UserError, match="at least one character"):
            store.rename(run.id, empty)
    assert len(store.rename(run.id, "x" * 1000).name) == 120


def test_delete_restore_and_empty(store):
    kept, run = store.create(RECIPE), store.create(RECIPE, "gone")
    (run.path / "model.safetensors").write_bytes(b"x" * 5000)
    store.delete(run.id)
    assert store.list() == [kept]
    assert [gone.id for gone in store.trash()] == [run.id]
    with pytest.raises(UserError, match="it may be in the trash"):
        store.get(run.id)
    assert store.restore(run.id) == run
    assert store.trash() == []
    assert (run.path / "model.safetensors").read_bytes() == b"x" * 5000
    store.delete(run.id)
    assert store.empty_trash() > 5000
    assert store.trash() == []
    assert store.empty_trash() == 0
    with pytest.raises(UserError, match="cannot be restored"):
        store.restore(run.id)
    assert store.list() == [kept]


def test_a_run_made_again_with_its_token_can_be_deleted_again(store):
    for _ in range(3):
        store.delete(store.create(RECIPE, token="t").id)
    assert len(store.trash()) == 1


def test_a_run_whose_worker_was_killed_can_be_deleted(store):
    run = sample_run(store, "running")
    assert store.get(run.id).state == "interrupted"
    store.delete(run.id)
    assert [gone.id for gone in store.trash()] == [run.id]


def test_restore_does_not_replace_a_run(store):
    run = store.create(RECIPE, "first", token="t")
    store.delete(run.id)
    store.create(RECIPE, "second", token="t")
    with pytest.raises(UserError, match="cannot be restored"):
        store.restore(run.id)
    assert store.get(run.id).name == "second"


@pytest.mark.parametrize("state", ACTIVE)
def test_a_run_that_somebody_works_on_is_not_deleted(store, state):
    run = store.create(RECIPE)
    put(run, state=state)
    with (
        FileLock(run.path / "lock"),
        pytest.raises(UserError, match="cancel it before you delete it"),
    ):
        store.delete(run.id)
    assert store.get(run.id).path.exists()
