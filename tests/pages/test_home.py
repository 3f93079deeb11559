"""The home page: the quick tour, recent runs, and the machine."""

import subprocess
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core import machine
from core.config import data_root
from core.errors import UserError
from core.runs import launch
from core.runs.store import RunStore
from tests.sample_runs import sample_run

ENTRY = str(Path(__file__).parents[2] / "streamlit_app.py")


@pytest.fixture
def app():
    return AppTest.from_file(ENTRY, default_timeout=60)


def test_an_empty_workbench_says_what_to_do(app):
    app.run()
    assert not app.exception
    assert app.title[0].value == "Secateur"
    assert "quick tour" in app.info[0].value
    assert app.button(key="tour").label == "Quick tour"


def test_the_tour_starts_one_run_and_opens_it(app, store, monkeypatch):
    spawned = []
    monkeypatch.setattr(launch, "_spawn", lambda run, data: spawned.append((run.id, data)))
    app.run().button(key="tour").click().run()
    assert not app.exception
    (run,) = store.list()
    assert spawned == [(run.id, data_root())]
    assert (run.recipe.model, run.recipe.dataset, run.recipe.density) == ("LeNet5", "Digits", 0.1)
    assert app.query_params["run"] == run.id
    assert app.title[0].value == "Quick tour"


def test_two_tours_are_two_runs(app, store, monkeypatch):
    monkeypatch.setattr(launch, "_spawn", lambda run, data: None)
    app.run().button(key="tour").click().run()
    app.switch_page("pages/home.py").run().button(key="tour").click().run()
    assert len(store.list()) == 2


def test_a_tour_that_cannot_start_says_why(app, monkeypatch):
    def full(*_, **__):
        raise UserError("The disk is full.")

    monkeypatch.setattr(RunStore, "create", full)
    app.run().button(key="tour").click().run()
    assert not app.exception
    assert app.error[0].value == "The disk is full."


def test_the_last_five_runs_are_shown(app, store):
    runs = [sample_run(store, name=f"run number {number}") for number in range(7)]
    app.run()
    labels = [link.proto.label for link in app.get("page_link")]
    assert [label for label in labels if label.startswith("run number")] == [
        run.name for run in store.list()[:5]
    ]
    assert len(runs) == 7
    assert "90.00%" in "".join(text.value for text in app.markdown)


def test_the_machine_is_described(app):
    app.run()
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["Cores"] == str(machine.describe_machine().cores)
    assert set(shown) == {"Cores", "Memory", "torch", "GPU"}


def test_facts_about_the_machine_need_no_torch():
    code = """
import sys
from core.machine import describe_machine

facts = describe_machine()
assert facts.cores >= 1
assert facts.cpu
assert facts.memory > 2**27
assert facts.torch[0].isdigit()
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(ENTRY).parent)


def test_a_containers_limit_is_the_memory(monkeypatch):
    monkeypatch.setattr(machine, "_installed_memory", lambda: 64 * 2**30)
    monkeypatch.setattr(Path, "read_text", lambda self, **_: "1073741824")
    assert machine.describe_machine().memory == 2**30


def test_without_a_driver_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(machine, "_has_gpu_driver", lambda: False)
    assert machine.find_gpus() == []
