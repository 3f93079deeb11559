"""Work on sweeps: failures, cancels, kills, and what is shared."""

import os
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from core.compress import snip
from core.errors import UserError
from core.events import Note, Progress
from core.runs import launch as run_launch
from core.runs.lock import RunLock
from core.runs.store import RunStore
from core.runs.sweeps import launch, worker
from core.runs.sweeps.grid import Grid, Lists
from core.runs.sweeps.store import SweepStore
from core.runs.sweeps.worker import work
from core.runs.worker import Stop
from core.training.epoch import EpochLoop
from tests.waiting import until

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
START_PATIENCE = 240
"""Seconds. A new process imports torch and trains, on a machine that may be busy with others."""

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


@pytest.fixture
def sweeps(store):
    return SweepStore(store)


def make(sweeps, kmeans=None, **lists):
    return sweeps.create(Grid({**LISTS, **lists}, kmeans).chains())


def notes(events):
    return [str(event) for event in events if isinstance(event, Note)]


def count_scorings(monkeypatch):
    """Return a list that gets an item for each network that is scored."""
    scorings = []
    usual = snip.scoring_steps

    def score(*arguments, **options):
        scorings.append(arguments)
        return usual(*arguments, **options)

    monkeypatch.setattr(snip, "scoring_steps", score)
    return scorings


def test_all_combinations_are_run_and_the_second_time_nothing(sweeps, digits):
    sweep = make(sweeps, {"clusters": [3], "rounding": ["nearest"]}, seed=[0, 1])
    said = notes(work(sweep, digits))
    sweep = sweeps.get(sweep.id)
    assert sweep.state == "finished"
    assert [run.recipe.kind for run in sweep.runs] == ["train", "kmeans"] * 2
    assert all(run.state == "finished" for run in sweep.runs)
    assert sweep.runs[1].config.parent == sweep.runs[0].id
    assert said[0].startswith("Run 1 of 4: LeNet5 · Digits · 5% kept, seed 0 (")
    created = [run.status.updated_at for run in sweep.runs]
    assert list(work(sweep, digits)) == []
    assert [run.status.updated_at for run in sweeps.get(sweep.id).runs] == created


def test_a_run_that_fails_does_not_stop_the_rest_and_is_tried_again_at_last(
    sweeps, digits, monkeypatch
):
    sweep = make(sweeps, {"clusters": [3], "rounding": ["nearest"]}, lr=[100.0, 0.05])
    usual = EpochLoop._checked_loss_sum

    def fail(loop):
        if loop.recipe.lr == 100:
            raise UserError("the loss is infinite")
        return usual(loop)

    monkeypatch.setattr(EpochLoop, "_checked_loss_sum", fail)
    said = notes(work(sweep, digits))
    sweep = sweeps.get(sweep.id)
    assert sweep.state == "stopped"
    assert [run.state for run in sweep.runs] == ["failed", "finished", "finished"]
    assert any("is failed: the loss is infinite" in text for text in said)
    monkeypatch.setattr(EpochLoop, "_checked_loss_sum", usual)
    list(work(sweeps.add(sweep.id, Grid({**LISTS, "seed": [7]}).chains()), digits))
    sweep = sweeps.get(sweep.id)
    assert sweep.state == "finished"
    by_start = sorted(sweep.runs, key=lambda run: run.status.started_at)
    assert [run.recipe.seed for run in by_start[-3:]] == [7, 0, 0]  # the failed one after the new


def test_points_that_are_added_meanwhile_are_worked_on(sweeps, digits):
    sweep = make(sweeps, seed=[0])
    for event in work(sweep, digits):
        if isinstance(event, Note) and str(event).startswith("Run 1"):
            sweeps.add(sweep.id, Grid({**LISTS, "seed": [1]}).chains())
    sweep = sweeps.get(sweep.id)
    assert len(sweep.steps) == 2
    assert sweep.state == "finished"


def test_cancel_stops_the_run_with_a_checkpoint_and_resume_continues_it(sweeps, digits):
    sweep = make(sweeps, seed=[0, 1], epochs=[3])
    for event in work(sweep, digits):
        if isinstance(event, Progress) and event.stage == "Epoch 2 of 3":
            launch.cancel(sweep)
    stopped = sweeps.get(sweep.id)
    assert stopped.state == "stopped"
    assert [run.state for run in stopped.runs] == ["interrupted"]
    assert list(work(stopped, digits)) == []  # nobody has taken the cancel back
    launch.allow(stopped)
    said = notes(work(stopped, digits))
    assert any(text.startswith("Continued in epoch") for text in said)
    assert sweeps.get(sweep.id).state == "finished"


def test_scores_are_computed_once_for_all_densities(sweeps, digits, monkeypatch):
    scorings = count_scorings(monkeypatch)
    sweep = make(sweeps, **{"prune.density": [0.1, 0.2, 0.4]}, seed=[0, 1])
    list(work(sweep, digits))
    assert len(scorings) == 2  # one for each seed
    shared = sweeps.get(sweep.id).steps[1]
    alone = SweepStore(RunStore(sweeps.runs.root.parent / "alone"))
    list(work(alone.create([(shared.recipe,)]), digits))
    masks = [
        load_file(run.path / "masks.safetensors") for run in (shared.run, alone.runs.list()[0])
    ]
    assert all(torch.equal(mask, masks[1][name]) for name, mask in masks[0].items())


def test_iterative_scores_are_not_shared(sweeps, digits, monkeypatch):
    scorings = count_scorings(monkeypatch)
    lists = {"prune.density": [0.1, 0.2], "prune.method": ["iterative-snip"], "prune.rounds": [2]}
    list(work(make(sweeps, **lists), digits))
    assert len(scorings) == 2


def test_only_one_process_works_on_a_sweep(sweeps, digits, monkeypatch):
    sweep = make(sweeps)
    monkeypatch.setattr(RunLock, "take", lambda lock, timeout: False)
    assert list(work(sweep, digits)) == []


def test_a_run_that_another_process_works_on_is_waited_for(sweeps, digits, store, monkeypatch):
    sweep = make(sweeps)
    step = sweep.steps[0]
    run = store.create(step.recipe, token=step.token)
    monkeypatch.setattr(worker, "_LOOK_SECONDS", 0.01)
    with RunLock(run.path) as lock:
        assert lock.take(1)
        run_launch._change_status(run, run.status, state="running")
        waits = 0
        for event in work(sweep, digits):
            if isinstance(event, Progress) and event.stage.startswith("Waiting for LeNet5"):
                waits += 1
                if waits == 3:
                    lock.release()
    assert waits >= 3


def test_a_run_whose_other_process_was_killed_is_taken_over(sweeps, digits, store, monkeypatch):
    sweep = make(sweeps)
    step = sweep.steps[0]
    run = store.create(step.recipe, token=step.token)
    monkeypatch.setattr(worker, "_LOOK_SECONDS", 0.01)
    with RunLock(run.path) as lock:
        assert lock.take(1)
        run_launch._change_status(run, run.status, state="running")
        for event in work(sweep, digits):
            if isinstance(event, Progress) and event.stage.startswith("Waiting for LeNet5"):
                lock.release()
    assert sweeps.get(sweep.id).state == "finished"


def test_a_cancel_before_the_process_has_the_lock_holds(sweeps, digits):
    sweep = make(sweeps)
    launch.cancel(sweep)
    assert list(work(sweep, digits)) == []
    assert sweeps.runs.list() == []


def test_a_stopped_process_stops_before_the_next_run(sweeps, digits):
    sweep = make(sweeps, seed=[0, 1])
    stop = Stop()
    for event in work(sweep, digits, stop):
        if isinstance(event, Progress) and event.stage.startswith("Packing"):
            stop.set()
    assert len(sweeps.get(sweep.id).runs) == 1


@posix
def test_a_killed_process_loses_nothing(sweeps, digits, monkeypatch):
    children: list[subprocess.Popen[bytes]] = []
    monkeypatch.setattr(run_launch, "_children", children)
    sweep = make(sweeps, epochs=[400], train_images=[1000])
    launch.start(sweep, digits)
    assert sweeps.get(sweep.id).state == "running"
    until(
        lambda: sweeps.get(sweep.id).runs and sweeps.get(sweep.id).runs[0].status.epoch > 0,
        START_PATIENCE,
    )
    launch.start(sweeps.get(sweep.id), digits)  # a second click changes nothing
    assert len(children) == 1
    children[0].send_signal(signal.SIGKILL)
    children[0].wait()
    killed = sweeps.get(sweep.id)
    assert killed.state == "stopped"
    assert killed.runs[0].state == "interrupted"
    launch.start(killed, digits)
    until(lambda: sweeps.get(sweep.id).runs[0].state == "running", START_PATIENCE)
    launch.cancel(sweeps.get(sweep.id))
    assert children[-1].wait(START_PATIENCE) == 1
    assert sweeps.get(sweep.id).runs[0].state == "interrupted"
    assert "Run 1 of 1" in (sweep.path / "log.txt").read_text()


def test_the_process_of_a_sweep_that_is_gone_says_so(store):
    command = [sys.executable, "-m", "core.runs.sweeps.worker"]
    folder = store.root / ".sweeps" / "0123456789"
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip() == f"There is no sweep '0123456789' in {store.root}."
