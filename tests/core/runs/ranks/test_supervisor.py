"""Real workers with real ranks, of which some are really killed."""

import contextlib

import psutil
import pytest

from core.config import Prune, TrainRecipe
from core.events import EpochEnd
from core.jobs.train import TrainJob
from core.runs import artefacts, launch
from tests.waiting import until

RECIPE = TrainRecipe(
    model="LeNet5",
    dataset="Digits",
    device="cpu",
    devices=2,
    prune=Prune(density=0.2),
    epochs=3,
    batch_size=16,
    lr=0.05,
)


@pytest.fixture
def run(store, digits):
    """A run of two ranks, with a checkpoint after its first epoch."""
    run = store.create(RECIPE)
    job = TrainJob(RECIPE, digits)
    next(event for event in job.events() if isinstance(event, EpochEnd))
    artefacts.save_checkpoint(run, job)
    return run


@pytest.fixture
def worker(store, run, work_on):
    """The worker of the run, whose ranks train already."""
    worker = work_on(run)
    until(lambda: store.get(run.id).status.stage.startswith("Epoch"))
    return worker


def ranks_of(run):
    """The processes of the run's ranks, by their rank."""
    ranks = {}
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if str(run.path) in words and "core.runs.ranks.process" in words:
            with contextlib.suppress(psutil.Error):  # it ends right now
                ranks[process.environ()["RANK"]] = process
    return ranks


def test_all_ranks_start_again_from_the_checkpoint_if_one_is_killed(store, run, worker):
    ranks_of(run)["1"].kill()
    worker.join()
    assert store.get(run.id).state == "finished"
    assert [row["epoch"] for row in store.epochs(run.id)] == [1, 2, 3]
    notes = [event["text"] for event in store.events(run.id) if event["event"] == "note"]
    assert any(text.startswith("A process of the training died.") for text in notes)
    assert sum(text.startswith("Continued in epoch") for text in notes) == 2
    assert ranks_of(run) == {}


def test_a_cancelled_run_leaves_no_process(store, run, worker):
    launch.cancel(run)
    worker.join()
    assert store.get(run.id).state == "cancelled"
    assert (run.path / "model.safetensors").exists()
    assert ranks_of(run) == {}


def test_no_rank_outlives_a_worker_that_is_killed(store, run, worker):
    assert len(ranks_of(run)) == 2
    worker.kill()
    until(lambda: ranks_of(run) == {})
    assert store.get(run.id).state == "interrupted"
