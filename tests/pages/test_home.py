"""The home page: the ways to begin, recent runs, and the machine."""

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
from pages.parts.home.tour_pictures import PICTURES_FOLDER, TOUR_PICTURES
from tests.sample_runs import sample_run

ENTRY = str(Path(__file__).parents[2] / "streamlit_app.py")


@pytest.fixture
def app():
    return AppTest.from_file(ENTRY, default_timeout=60)


def test_an_empty_workbench_says_what_to_do(app):
    app.run()
    assert not app.exception
    assert app.title[0].value == "Secateur"
    text = "".join(markdown.value for markdown in app.markdown)
    for way in ("Take the tour", "Bring your own network", "Bring your own images"):
        assert way in text
    assert app.button(key="tour").label == "Quick tour"


def test_an_empty_workbench_shows_what_the_tour_makes(app, store):
    app.run()
    titles = [picture.title for picture in TOUR_PICTURES]
    assert [image.proto.imgs[0].alt for image in app.get("image")] == titles
    sample_run(store)
    assert not app.run().get("image")


def test_there_is_a_small_picture_for_each_theme():
    files = [picture.file(theme) for picture in TOUR_PICTURES for theme in ("light", "dark")]
    assert sorted(PICTURES_FOLDER.iterdir()) == sorted(files)
    assert sum(file.stat().st_size for file in files) < 300_000


def test_the_tour_starts_two_trainings_and_opens(app, store, monkeypatch):
    spawned = []
    monkeypatch.setattr(launch, "_spawn", lambda run, data: spawned.append((run.id, data)))
    app.run().button(key="tour").click().run()
    assert not app.exception
    assert app.title[0].value == "Tour"
    pruned, dense = store.list()
    assert spawned == [(dense.id, data_root()), (pruned.id, data_root())]
    assert (pruned.model, pruned.dataset, pruned.density) == ("LeNet5", "Digits", 0.1)


@pytest.mark.parametrize("button", ["own_network", "own_images"])
def test_ones_own_network_and_images_open_a_dialog(app, button):
    app.run().button(key=button).click().run()
    assert not app.exception


def test_imported_images_open_the_train_page(app):
    app.run()
    app.session_state["imported"] = "Folder-mine"
    app.run()
    assert app.title[0].value == "Train"


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


def test_a_containers_limit_is_the_memory(monkeypatch, tmp_path):
    file = tmp_path / "memory.max"
    file.write_text("1073741824\n")
    monkeypatch.setattr(machine, "_installed_memory", lambda: 64 * 2**30)
    monkeypatch.setattr(machine, "LIMIT_FILES", (str(file),))
    assert machine.describe_machine().memory == 2**30


def test_without_a_driver_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(machine, "_has_gpu_driver", lambda: False)
    assert machine.find_gpus() == []
