"""The parent of a pruning: it has more weights than the result, and the epochs that it kept."""

import pytest
import torch

from core.config import PruneRecipe, TrainRecipe
from core.errors import UserError
from core.models.saved import read_model
from core.runs import worker
from core.runs.epochs import epoch_file
from core.runs.prune import check_parent, epochs_to_rewind_to, read_early_weights
from core.runs.run import INITIAL, MASKS, MODEL
from core.runs.worker import work
from core.training import setup
from tests import eager_worker

TRAINED = TrainRecipe(
    model="LeNet5", dataset="Digits", device="cpu", prune=None, epochs=2, train_images=40
)


@pytest.fixture(autouse=True)
def _toy(monkeypatch):
    """Every network is small, and every epoch is kept, however long saving takes."""
    monkeypatch.setattr(worker, "SAVING_SHARE", 0)
    monkeypatch.setattr("core.models.build", lambda name, classes: eager_worker.network(classes))
    monkeypatch.setattr(setup, "build", lambda name, classes: eager_worker.network(classes))


def finished(store, digits, recipe, parent=None):
    run = store.create(recipe, parent=parent)
    for _ in work(run, digits):
        pass
    run = store.get(run.id)
    assert run.state == "finished", run.status.message
    return run


@pytest.fixture
def trained(store, digits):
    return finished(store, digits, TRAINED)


def test_a_pruned_run_on_disk(store, digits, trained):
    run = finished(
        store, digits, PruneRecipe(method="magnitude", density=0.25, device="cpu"), trained.id
    )
    assert run.name == "25% kept magnitude"
    assert run.density == 0.25
    state = read_model(run.path / MODEL).state
    masks = read_model(run.path / MASKS).state
    for name, mask in masks.items():
        assert torch.equal(state[name] != 0, mask.bool())
    assert run.packed_file.exists()
    assert run.status.summary.density == pytest.approx(0.25, abs=1e-3)


def test_the_epochs_that_were_kept_can_be_rewound_to(store, digits, trained):
    assert epochs_to_rewind_to(trained) == [0, 1, 2]
    early = read_early_weights(trained, 1)
    assert early is not None
    assert torch.equal(early["0.weight"], read_model(epoch_file(trained.path, 1)).state["0.weight"])
    initial = read_early_weights(trained, 0)
    assert initial is not None
    assert torch.equal(initial["0.weight"], read_model(trained.path / INITIAL).state["0.weight"])
    assert read_early_weights(trained, None) is None


def test_a_second_pruning_rewinds_to_the_first_training(store, digits, trained):
    """So a winning ticket is found in several rounds (arXiv:1803.03635)."""
    recipe = PruneRecipe(
        method="magnitude", density=0.5, rewind=1, epochs=1, train_images=40, device="cpu"
    )
    first = finished(store, digits, recipe, trained.id)
    second = finished(store, digits, recipe.model_copy(update={"density": 0.25}), first.id)
    assert epochs_to_rewind_to(second) == [0, 1, 2]
    kept = {name: mask.bool() for name, mask in read_model(second.path / MASKS).state.items()}
    before = {name: mask.bool() for name, mask in read_model(first.path / MASKS).state.items()}
    for name, mask in kept.items():
        assert not (mask & ~before[name]).any()


def test_an_epoch_that_was_not_kept_is_refused(store, trained):
    recipe = PruneRecipe(method="magnitude", rewind=7, epochs=1)
    with pytest.raises(UserError, match=r"^rewind must be one of the kept epochs 0, 1, 2, got 7$"):
        check_parent(recipe, trained)
    with pytest.raises(UserError, match=r"^--rewind must be one of"):
        check_parent(recipe, trained, {"rewind": "--rewind"})


def test_a_network_without_a_training_here_has_no_epochs(store, digits, trained):
    for file in (trained.path / "epochs").iterdir():
        file.unlink()
    (trained.path / INITIAL).unlink()
    with pytest.raises(UserError, match=r"^rewind takes a network that was trained here"):
        check_parent(PruneRecipe(method="magnitude", rewind=0, epochs=1), trained)


def test_the_density_must_be_below_the_parents(store, digits, trained):
    half = finished(
        store, digits, PruneRecipe(method="magnitude", density=0.5, device="cpu"), trained.id
    )
    with pytest.raises(UserError, match=r"^--density must be below 0\.5"):
        check_parent(PruneRecipe(density=0.5), half, {"density": "--density"})
    check_parent(PruneRecipe(density=0.4), half)
