"""Runs of own networks in real worker processes: trained, pruned, saved, read back, and resumed."""

import subprocess
import sys

import pytest
import torch

from core import data, models
from core.compress import codec
from core.config import KMeansRecipe, Prune, PruneRecipe, TrainRecipe
from core.deploy.onnx.export import export_onnx
from core.events import EpochEnd
from core.models import saved
from core.models.parameters import prunable_weights
from core.runs import worker
from core.runs.run import MODEL
from core.runs.worker import work
from tests.core.models.outside.sources import GOOD, OTHER

RECIPE = TrainRecipe(
    model="my_network",
    dataset="Digits",
    prune=Prune(density=0.2),
    epochs=1,
    batch_size=32,
    train_images=64,
    lr=0.05,
    device="cpu",
)


@pytest.fixture
def file(own_folder):
    """The file of an own network."""
    path = own_folder / "my_network.py"
    path.write_text(GOOD)
    return path


@pytest.fixture
def recipe(file):
    """The recipe as a command or a page makes it, with the version of the network."""
    return RECIPE.model_copy(update={"model": models.model_info("my_network").name})


def work_in_process(store, run, digits):
    """Let a worker of its own work on the run to its end, and return the run."""
    command = [sys.executable, "-m", "core.runs.worker", str(run.path), "--data-dir", str(digits)]
    subprocess.run(command, check=False)
    return store.get(run.id)


def finished(store, run, digits):
    """Work on a run in this process, and return the run."""
    for _ in work(run, digits):
        pass
    run = store.get(run.id)
    assert run.state == "finished", run.status.message
    return run


def test_a_worker_trains_prunes_and_saves_it(store, digits, recipe):
    trained = work_in_process(store, store.create(recipe), digits)
    assert trained.state == "finished", trained.status.message
    assert f"{recipe.model} on Digits with 64 training images" in store.log(trained.id)
    model = saved.read_model(trained.path / MODEL)
    assert model.card.model == recipe.model
    weights = prunable_weights(model.network()).values()
    kept = sum(int(weight.count_nonzero()) for weight in weights)
    assert kept == trained.status.kept == round(0.2 * (8 * 27 + 32 * 10))
    images = torch.rand(4, 3, 32, 32)
    packed = codec.load(trained.packed_file)
    from_packed = saved.SavedModel(packed.card, packed.state()).network()
    assert torch.equal(from_packed(images), model.network()(images))
    assert export_onnx(model.network(), model.card)
    pruned = finished(
        store,
        store.create(PruneRecipe(method="magnitude", density=0.1, device="cpu"), parent=trained.id),
        digits,
    )
    assert pruned.status.kept == round(0.1 * (8 * 27 + 32 * 10))
    shared = finished(
        store,
        store.create(KMeansRecipe(clusters=4, rounding="nearest", device="cpu"), parent=trained.id),
        digits,
    )
    assert saved.read_card(shared.path / MODEL).model == recipe.model


def test_a_run_resumes_with_its_own_version_only(store, digits, file, recipe, monkeypatch):
    monkeypatch.setattr(worker, "EPOCH_SAVE_SECONDS", 0)
    monkeypatch.setattr(worker, "SAVING_SHARE", 0)
    recipe = recipe.model_copy(update={"epochs": 2})
    run = store.create(recipe)
    events = work(run, digits)
    for event in events:
        if isinstance(event, EpochEnd):
            next(events)  # its checkpoint is saved
            break
    events.close()
    assert store.get(run.id).state == "interrupted"
    file.write_text(OTHER)
    changed = work_in_process(store, store.get(run.id), digits)
    assert changed.state == "failed"
    assert changed.status.message.startswith(f"{recipe.model} was built from another version of")
    file.unlink()
    gone = work_in_process(store, changed, digits)
    assert gone.state == "failed"
    assert (
        gone.status.message
        == f"{recipe.model} was built from {file}, which is gone: bring it back."
    )
    file.write_text(GOOD)
    resumed = work_in_process(store, gone, digits)
    assert resumed.state == "finished", resumed.status.message
    assert "Continued in epoch" in store.log(run.id)


def test_the_images_must_fit_the_network(store, digits, file):
    file.write_text(f"{GOOD}\nSIDE = 64\n")
    assert data.load("Digits", digits).side != 64
    name = models.model_info("my_network").name
    run = store.create(RECIPE.model_copy(update={"model": name}))
    for _ in work(run, digits):
        pass
    assert store.get(run.id).status.message == (
        f"{name} takes images of exactly 64 x 64 pixels, got 32 x 32"
    )
