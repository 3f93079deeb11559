"""Runs on a real Ray cluster of two nodes: the same bits as here, also if a node is lost."""

import sys
from pathlib import Path

import pytest
import torch

from core.config import Prune, TrainRecipe
from core.machine import host_name
from core.runs import launch
from core.runs.cluster import command
from core.runs.cluster.jobs import Jobs
from core.runs.store import RunStore
from core.runs.sweeps.grid import Grid, Lists
from core.runs.sweeps.store import SweepStore
from core.runs.sweeps.worker import work as work_on_sweep
from core.runs.worker import work
from tests.waiting import until

pytestmark = pytest.mark.xdist_group("ray")

PATIENCE = 240
"""A worker that starts takes half a minute on two cores that are busy with other things."""

LISTS: Lists = {
    "model": ["LeNet5"],
    "dataset": ["Digits"],
    "device": ["cpu"],
    "train_images": [64],
    "batch_size": [16],
    "epochs": [1],
    "lr": [0.05],
    "keep_every": [0],
    "precision": ["float32"],
}
RECIPE = TrainRecipe(
    model="LeNet5",
    dataset="Digits",
    device="cpu",
    prune=Prune(density=0.2),
    epochs=6,
    batch_size=16,
    train_images=64,
    lr=0.05,
)


@pytest.fixture
def on_cluster(cluster, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    return cluster


def host_of(run):
    return run.status.worker and run.status.worker.host


def is_running(jobs, name):
    job = jobs.get(name)
    return job is not None and job.status == "RUNNING"


def same_weights(run, other):
    names = ("model.safetensors", "masks.safetensors")
    return all((run.path / name).read_bytes() == (other.path / name).read_bytes() for name in names)


@pytest.mark.timeout(900)
def test_a_sweep_on_the_cluster_has_the_same_weights_as_here(
    on_cluster, store, digits, tmp_path, monkeypatch
):
    chains = Grid({**LISTS, "seed": range(4), "prune.density": [0.5, 0.2, 0.1]}).chains()
    assert len(chains) == 12
    sweeps = SweepStore(store)
    sweep = sweeps.create(chains)
    sent = list(work_on_sweep(sweep, digits))
    sweep = sweeps.get(sweep.id)
    assert sweep.state == "finished", sent
    hosts = {host_of(run) for run in sweep.runs}
    assert hosts == {host_name(), "node-2"}
    assert {run.status.job and run.status.job.address for run in sweep.runs} == {on_cluster.address}

    torch.set_num_threads(1)
    local = SweepStore(RunStore(tmp_path / "local"))
    reference = local.create(chains)
    list(work_on_sweep(reference, digits, here=True))
    reference = local.get(reference.id)
    assert all(run.status.job is None for run in reference.runs)
    for run, other in zip(sweep.runs, reference.runs, strict=True):
        assert same_weights(run, other)


@pytest.mark.timeout(900)
def test_a_run_whose_node_is_lost_is_resumed_elsewhere_to_the_same_bits(
    on_cluster, store, digits, tmp_path, monkeypatch
):
    monkeypatch.setenv(command.PYTHON, str(eager_python(tmp_path)))
    jobs = Jobs(on_cluster.address)
    jobs.submit("keeps-the-head-busy", "exec sleep 10000", 0, 1, {})
    until(lambda: is_running(jobs, "keeps-the-head-busy"), PATIENCE)
    run = launch.start(store.create(RECIPE), digits)
    assert run.state == "queued"
    until(lambda: store.get(run.id).status.epoch >= 2, PATIENCE)
    assert store.get(run.id).status.place.startswith("on node node-2, Ray job secateur-")
    on_cluster.lose_second_node()
    # Ray says so within half a minute, and the heartbeat within a minute.
    until(lambda: store.get(run.id).state == "interrupted", PATIENCE)
    events_before = store.events(run.id)

    jobs.stop("keeps-the-head-busy")
    assert launch.resume(store.get(run.id), digits).state == "queued"
    until(lambda: store.get(run.id).state == "finished", PATIENCE)
    assert host_of(store.get(run.id)) == host_name()
    assert 2 <= sum(event["event"] == "epochend" for event in events_before) < RECIPE.epochs

    torch.set_num_threads(1)
    whole = store.create(RECIPE)
    list(work(whole, digits))
    assert same_weights(run, whole)
    assert essence(store.events(run.id)) == essence(store.events(whole.id))


def essence(events):
    """The events without their times, and without notes, which a run repeats as it goes on."""
    timed = {"time", "train_seconds", "seconds", "images_per_second", "summary"}
    told = [row for row in events if row["event"] != "note"]
    return [{name: row[name] for name in row.keys() - timed} for row in told]


def eager_python(folder: Path) -> Path:
    """A Python whose workers are slow and save after every event, so that a kill finds them."""
    driver = folder / "driver.py"
    driver.write_text(
        "import sys\nfrom tests import eager_worker\n"
        "eager_worker.run(sys.argv[1], sys.argv[3], slow=0.3, job=sys.argv[5])\n"
    )
    script = folder / "python"
    script.write_text(
        f'#!/bin/sh\nif [ "$1" = -m ]; then shift 2; exec {sys.executable} {driver} "$@"; fi\n'
        f'exec {sys.executable} "$@"\n'
    )
    script.chmod(0o755)
    return script
