"""Damage to the files of a run becomes one sentence, and never a result."""

import json

import pytest
import torch

from core import hashes
from core.commands import verify
from core.config import AffineRecipe, Prune, TrainRecipe
from core.errors import UserError
from core.events import EpochEnd, Note
from core.models import saved
from core.runs import worker
from core.runs.run import read_status, write_status
from core.runs.worker import work
from tests.core.test_hashes import flip_a_bit

RECIPE = TrainRecipe(
    model="LeNet5",
    dataset="Digits",
    device="cpu",
    prune=Prune(density=0.2),
    epochs=2,
    batch_size=16,
    train_images=40,
    lr=0.05,
)
CHILD = AffineRecipe(bits=8, rounding="nearest", epochs=0, device="cpu")
RESULTS = (
    "initial.safetensors",
    "model.safetensors",
    "best.safetensors",
    "masks.safetensors",
    "packed.secateur",
)


@pytest.fixture(autouse=True)
def _save_at_every_epoch(monkeypatch):
    monkeypatch.setattr(worker, "EPOCH_SAVE_SECONDS", 0)
    monkeypatch.setattr(worker, "SAVING_SHARE", 0)


@pytest.fixture
def finish(store, digits):
    """A function that works on a run until it ends, as in a process of its own."""

    def finish(run):
        hashes._known.clear()
        for _ in work(run, digits):
            pass
        return store.get(run.id)

    return finish


@pytest.fixture
def parent(store, finish):
    return finish(store.create(RECIPE, "parent"))


def stopped_after_an_epoch(store, digits):
    """A run that was stopped, and its checkpoint."""
    run = store.create(RECIPE)
    events = work(run, digits)
    next(event for event in events if isinstance(event, EpochEnd))
    next(events)
    events.close()
    return store.get(run.id), run.path / "checkpoint.pt"


def middle(path):
    """A place among the weights of a file."""
    return path.stat().st_size // 2


def test_the_hash_of_every_result_is_recorded(parent):
    written = {path.name for path in hashes.recorded_files(parent.path) if path.exists()}
    assert written == {name for name in RESULTS if (parent.path / name).exists()}
    assert "model.safetensors" in written
    assert [path.name for path in hashes.recorded_files(parent.path / "epochs")] == [
        "1.safetensors",
        "2.safetensors",
    ]


def test_a_parent_with_one_wrong_bit_gives_no_result(store, finish, parent):
    model = parent.path / "model.safetensors"
    flip_a_bit(model, middle(model))
    child = finish(store.create(AffineRecipe(bits=8, device="cpu"), parent=parent.id))
    assert child.state == "failed"
    assert child.status.message.startswith(f"{model} is damaged")
    assert "\n" not in child.status.message
    for read in (saved.read_model, lambda path: list(saved.read_weights(path, []))):
        with pytest.raises(UserError, match="damaged"):
            read(model)


def test_a_checkpoint_with_one_wrong_bit_is_not_continued(store, digits, finish):
    run, checkpoint = stopped_after_an_epoch(store, digits)
    flip_a_bit(checkpoint, middle(checkpoint))
    message = finish(run).status.message
    assert (
        message == f"The checkpoint {checkpoint} is damaged: delete it, and resume to begin anew."
    )


def test_a_checkpoint_of_another_network_is_damaged(store, digits, finish):
    run, checkpoint = stopped_after_an_epoch(store, digits)
    content = torch.load(checkpoint, weights_only=True)
    changed = {name: value for name, value in content.items() if name != "model"}
    others: list[object] = [
        changed,
        changed | {"model": {"a": torch.ones(2)}},
        {"history": []},
        [1],
    ]
    for other in others:
        torch.save(other, checkpoint)
        (run.path / hashes.HASHES).unlink(missing_ok=True)  # as if an older version wrote it
        failed = finish(run)
        assert failed.state == "failed"
        assert "is damaged: delete it" in failed.status.message


def test_a_parent_that_is_not_as_accurate_as_recorded_is_told(store, digits, finish, parent):
    status = read_status(parent.path)
    assert status.summary is not None
    better = status.summary.model_copy(update={"test_accuracy": 0.922})
    write_status(parent.path, status.model_copy(update={"summary": better}))
    child = store.create(CHILD, parent=parent.id)
    notes = [event for event in work(child, digits) if isinstance(event, Note)]
    warnings = [note.text for note in notes if note.level == "warning"]
    assert any("recorded 92.20%" in text for text in warnings)


def test_an_intact_parent_causes_no_warning(store, digits, parent):
    child = store.create(CHILD, parent=parent.id)
    notes = [event for event in work(child, digits) if isinstance(event, Note)]
    assert not any("recorded" in note.text for note in notes)


# -- python -m core verify --


def test_verify_finds_the_damaged_file(store, parent, capsys):
    assert verify.main([]) == 0
    assert " 0 damaged or gone, 0 without" in capsys.readouterr().out
    best = parent.path / "best.safetensors"
    flip_a_bit(best, middle(best))
    assert verify.main([parent.id]) == 1
    assert f"{best} is damaged" in capsys.readouterr().out


def test_verify_prints_json(store, parent, capsys):
    (parent.path / "masks.safetensors").unlink()
    assert verify.main(["--json"]) == 1
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    states = {file["file"].rpartition("/")[2]: file["state"] for file in result["files"]}
    assert states["model.safetensors"] == "intact"
    assert states["masks.safetensors"] == "gone"
    assert "Checking" not in captured.out


def test_verify_says_that_older_runs_have_no_hashes(store, parent, capsys):
    (parent.path / hashes.HASHES).unlink()
    (parent.path / "epochs" / hashes.HASHES).unlink()
    assert verify.main([]) == 0
    assert "0 intact" in capsys.readouterr().out


def test_verify_refuses_what_is_no_run(store, capsys):
    assert verify.main(["nonsense"]) == 2
    assert "is not a run's id" in capsys.readouterr().err
    assert verify.main([]) == 0


def test_verify_refuses_a_folder_that_is_not_there(tmp_path, capsys):
    """Otherwise a typing error in the name of a backup reads as if the backup were intact."""
    missing = str(tmp_path / "none")
    assert verify.main(["--runs-dir", missing]) == 2
    message = f"python -m core verify: --runs-dir must be a folder of runs, got {missing}\n"
    assert capsys.readouterr().err == message


def test_verify_goes_on_after_a_file_that_cannot_be_read(parent, capsys):
    """A folder in the place of a file, or a disk that answers with an error."""
    path = parent.path / "model.safetensors"
    path.unlink()
    path.mkdir()
    assert verify.main([]) == 1
    assert f"{path} is damaged" in capsys.readouterr().out


def test_verify_finds_damaged_hashes(parent, capsys):
    """Without the hashes no damage would be found, so they must not be lost without a word."""
    file = parent.path / "hashes.json"
    file.write_bytes(file.read_bytes().replace(b"{", b"[", 1))
    assert verify.main([]) == 1
    assert f"{file} is damaged" in capsys.readouterr().out


def test_verify_finds_hashes_that_lack_an_entry(parent, capsys):
    """A file must not become one of an older version because its hash was lost."""
    file = parent.path / "hashes.json"
    content = json.loads(file.read_bytes())
    del content["model.safetensors"]
    file.write_text(json.dumps(content))
    assert verify.main([]) == 1
    assert f"{file} is damaged" in capsys.readouterr().out
