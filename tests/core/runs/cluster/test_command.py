"""The shell command of a job, as a node's shell runs it."""

import subprocess
import sys

import pytest

from core.config import TrainRecipe
from core.runs.cluster import command
from core.runs.cluster.waiting import new_job

RECIPE = TrainRecipe(model="LeNet5", dataset="Digits")


@pytest.fixture
def run(store):
    return store.create(RECIPE)


def exit_code(run, tmp_path):
    line = command.command(run, new_job(run, "http://head:8265", tmp_path))
    return subprocess.run(["sh", "-c", line], env=command.variables(), timeout=60).returncode


def test_a_node_that_does_not_see_the_runs_says_so(run, tmp_path):
    run.path.rename(tmp_path / "elsewhere")
    sentence = command.explain_exit(exit_code(run, tmp_path), run)
    assert sentence == (
        f"The node does not see {run.path}: share the folder for runs among all nodes."
    )


def test_a_node_without_this_python_says_so(run, tmp_path, monkeypatch):
    monkeypatch.setenv(command.PYTHON, "/no/python")
    assert command.explain_exit(exit_code(run, tmp_path), run) == (
        "The node has no Python at /no/python: name the nodes' own with SECATEUR_CLUSTER_PYTHON."
    )


def test_a_node_with_another_python_says_so(run, tmp_path, monkeypatch):
    other = tmp_path / "python"
    other.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 8); $2"\n'
    )
    other.chmod(0o755)
    monkeypatch.setenv(command.PYTHON, str(other))
    sentence = command.explain_exit(exit_code(run, tmp_path), run)
    version = ".".join(map(str, sys.version_info[:2]))
    assert sentence is not None
    assert f"{other}, is not version {version} as on this machine" in sentence


def test_a_worker_of_another_job_leaves_the_run_alone(run, tmp_path, store):
    assert exit_code(run, tmp_path) == 1
    assert store.get(run.id).state == "created"
    assert store.events(run.id) == []
    assert command.explain_exit(1, run) is None


@pytest.mark.parametrize(
    ("device", "devices", "gpus_of_cluster", "needs"),
    [
        ("cpu", 1, 8, (0, 1)),
        ("cpu", 2, 8, (0, 2)),
        ("auto", 1, 0, (0, 1)),
        ("auto", 1, 8, (1, 1)),
        ("cuda", 1, 0, (1, 1)),
        ("cuda", 4, 8, (4, 4)),
    ],
)
def test_the_device_decides_what_a_run_needs(store, device, devices, gpus_of_cluster, needs):
    recipe = RECIPE.model_copy(update={"device": device, "devices": devices})
    assert command.resources(store.create(recipe), gpus_of_cluster) == needs
