"""A network that is trained once for the tests that go on from one."""

import shutil

import pytest

from core.config import TrainRecipe
from core.events import result_of
from core.runs.store import RunStore
from core.runs.worker import work


@pytest.fixture(scope="session")
def trained_folder(tmp_path_factory, digits):
    """The folder of a finished training of LeNet5 on Digits, dense, with held-back images."""
    recipe = TrainRecipe(
        model="LeNet5",
        dataset="Digits",
        prune=None,
        epochs=4,
        batch_size=32,
        lr=0.05,
        schedule="onecycle",
        validation=143,
        device="cpu",
    )
    store = RunStore(tmp_path_factory.mktemp("trained"))
    run = store.create(recipe, "Trained")
    result_of(work(run, digits))
    assert store.get(run.id).state == "finished", store.log(run.id)
    return run.path


@pytest.fixture(scope="module")
def trained(runs, trained_folder):
    """The training in the module's store."""
    shutil.copytree(trained_folder, runs.root / trained_folder.name)
    return runs.get(trained_folder.name)
