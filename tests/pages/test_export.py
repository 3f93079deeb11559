"""The Export page: integers, speed, checked files and the error by layer, all of them real."""

import shutil
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from core.config import BudgetRecipe, Int8Recipe, KMeansRecipe, PruneRecipe, TrainRecipe
from core.hashes import write_with_hash
from core.jobs.parent_dataset import load_parent_dataset
from core.models import build, saved
from core.models.card import ModelCard
from core.runs.int8 import int8_runs, request_int8
from core.runs.latency import latency_runs
from core.runs.run import MODEL, write_status
from core.runs.store import RunStore
from core.runs.worker import work
from core.training.evaluate import evaluate
from core.training.setup import test_images as prepare_test_images
from pages.parts.shared.words import plain
from tests.sample_runs import sample_run, summary_of
from tests.waiting import until
from tests.written_address import written_address

ENTRY = Path(__file__).parents[2] / "streamlit_app.py"


@pytest.fixture
def network(store, digits):
    """A finished run of LeNet5 with random weights, on Digits."""
    return make_network(store, digits)


def make_network(store, digits):
    recipe = TrainRecipe(model="LeNet5", dataset="Digits", epochs=4)
    run = sample_run(store, recipe=recipe, name="network")
    card = ModelCard(
        model="LeNet5",
        dataset="Digits",
        classes=tuple("0123456789"),
        mean=(0.3,) * 3,
        std=(0.4,) * 3,
        side=32,
    )
    torch.manual_seed(0)
    weights = build("LeNet5", 10).state_dict()
    write_with_hash(run.path / MODEL, saved.model_bytes(weights, card))
    accuracy = measured_accuracy(run, digits)
    summary = summary_of(run, test_accuracy=accuracy, test_images=360, classes=10)
    changes = {"summary": summary, "test_accuracy": accuracy}
    write_status(run.path, run.status.model_copy(update=changes))
    return store.get(run.id)


def measured_accuracy(run, root):
    model = saved.read_model(run.path / MODEL)
    images = prepare_test_images(load_parent_dataset(model.card, root), torch.device("cpu"))
    return evaluate(model.network(), images)[1]


def opened(view, **query):
    app = AppTest.from_file(str(ENTRY), default_timeout=120).run()
    app.switch_page("pages/export.py")
    app.query_params["view"] = view
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def downloads(app):
    return [button.key for button in app.get("download_button")]


@pytest.fixture(scope="module")
def folder_with_integers(tmp_path_factory, digits):
    """The folder of a store with the network and its run in integers."""
    store = RunStore(tmp_path_factory.mktemp("integers"))
    made = request_int8(store, make_network(store, digits), Int8Recipe())
    list(work(made, digits))
    assert store.get(made.id).state == "finished", store.log(made.id)
    return store.root


@pytest.fixture
def integers(folder_with_integers, store):
    """The run in integers, in the test's store. Its parent is the network."""
    shutil.copytree(folder_with_integers, store.root, dirs_exist_ok=True)
    (made,) = (run for run in store.list() if isinstance(run.recipe, Int8Recipe))
    return made


def test_without_a_model_it_says_what_makes_one(store, digits):
    app = opened("Integers")
    assert "There is no model yet" in app.info[0].value


def test_integers_are_made_once_and_shown(store, network):
    app = opened("Integers", run=network.id)
    app.button(key="make_int8").click().run()
    assert not app.exception
    until(lambda: not int8_runs(store, network)[0].active)
    (made,) = int8_runs(store, network)
    assert made.state == "finished", store.log(made.id)
    summary = made.status.summary
    assert summary is not None
    app = opened("Integers", run=network.id)
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["In integers"] == f"{made.status.test_accuracy:.2%}"
    assert metrics["In float"] == f"{summary.parent_accuracy:.2%}"
    assert [button.label for button in app.get("download_button")] == ["Download"]
    app.button(key="make_int8").click().run()
    assert [run.id for run in int8_runs(store, network)] == [made.id]
    assert app.title[0].value == plain(made.name)  # the page of its run
    app = opened("Integers", run=network.id)
    app.toggle(key="int8_float_last").set_value(True).run()
    assert "--float-last" in app.code[0].value
    assert written_address(app)["int8_float_last"] == "true"


def test_too_many_calibration_images_are_refused_in_a_sentence(network):
    app = opened("Integers", run=network.id, int8_images="5000")
    assert "images must be at most" in app.error[0].value
    assert "make_int8" not in [button.key for button in app.button]


@pytest.mark.slow  # a browser does the same
def test_speed_is_measured_and_drawn(store, network):
    app = opened("Speed", run=network.id, latency_seconds="0.01")
    assert "The speed of this network was not measured yet." in app.info[0].value
    app.button(key="measure_speed").click().run()
    until(lambda: not latency_runs(store, network)[0].active)
    app = opened("Speed", run=network.id)
    table = app.dataframe[0].value
    assert set(table["batch"]) == {1, 32}
    assert "PyTorch, float" in table["variant"].tolist()
    texts = [item.value for item in (*app.markdown, *app.warning)]
    assert any("eager PyTorch" in text for text in texts)


@pytest.mark.parametrize(
    "name",
    [
        "card",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("onnx", "packed", "safetensors", "masks")
        ),
    ],
)
def test_a_file_is_checked_before_it_can_be_downloaded(network, name):
    app = opened("Files", run=network.id)
    assert downloads(app) == ["export_report"]
    app.button(key=f"make-{name}").click().run()
    assert not app.exception
    assert not [error.value for error in app.error]
    assert len(app.success) == 1
    assert downloads(app) == [f"download-{name}", "export_report"]
    # What was made of another network is forgotten.
    assert list(app.session_state["exports"]) == [network.id]
    assert len(app.session_state["exports"][network.id]) == 1


def test_the_normalisation_can_be_in_the_file(network):
    app = opened("Files", run=network.id, pixels="true")
    app.button(key="make-onnx").click().run()
    assert not app.error
    assert "of 360 test images right by ONNX Runtime" in app.success[0].value
    assert downloads(app) == ["download-onnx", "export_report"]
    app.toggle(key="pixels").set_value(False).run()
    assert downloads(app) == ["export_report"]  # that is another file
    assert "make-onnx" in [button.key for button in app.button]


@pytest.mark.slow
def test_a_file_for_openvino(network):
    pytest.importorskip("openvino")
    app = opened("Files", run=network.id)
    app.button(key="make-openvino").click().run()
    assert not app.error
    assert "by OpenVINO" in app.success[0].value


def test_how_to_install_openvino(network, monkeypatch):
    monkeypatch.setattr("pages.parts.export.files.has_openvino", lambda: False)
    app = opened("Files", run=network.id)
    assert "make-openvino" not in [button.key for button in app.button]
    missing = [item.value for item in app.caption if "OpenVINO is not installed" in item.value]
    assert len(missing) == 2


def test_a_file_in_integers_whose_network_is_gone(store, integers):
    store.delete(integers.config.parent)
    text = opened("Files", of=integers.id).warning[0].value.replace("\\", "")  # of Markdown
    assert f"core export {integers.id} --to onnx-int8" in text


def test_without_a_run_in_integers_there_is_no_such_file(network):
    app = opened("Files", run=network.id)
    assert "make-onnx-int8" not in [button.key for button in app.button]


@pytest.mark.slow  # a browser does the same
def test_the_file_in_integers_is_that_of_its_run(integers):
    app = opened("Files", run=integers.config.parent)
    app.button(key="make-onnx-int8").click().run()
    assert "of 360 test images right" in app.success[0].value


def test_a_damaged_model_is_told_in_a_sentence(network):
    (network.path / MODEL).write_bytes(b"damaged")
    app = opened("Files", run=network.id)
    app.button(key="make-onnx").click().run()
    assert not app.exception
    assert app.error


def test_without_a_second_network_there_is_no_error_by_layer(network):
    assert "nothing to compare" in opened("Error by layer", run=network.id).info[0].value


def test_the_error_by_layer_of_a_file_in_integers(integers):
    app = opened("Error by layer", of=integers.id)  # a link from the run in integers
    table = app.dataframe[0].value
    assert len(table) >= 4
    assert table["snr"].between(5, 80).all()


@pytest.mark.parametrize("recipe", [KMeansRecipe(), PruneRecipe(), BudgetRecipe(smaller=4)])
def test_the_error_by_layer_of_what_was_made_from_a_network(store, network, recipe):
    run = store.create(recipe, parent=network.id)
    source = saved.read_model(network.path / MODEL)
    weights = source.state | {"classifier.4.weight": source.state["classifier.4.weight"] / 2}
    write_with_hash(run.path / MODEL, saved.model_bytes(weights, source.card))
    status = {"state": "finished", "summary": summary_of(run)}
    write_status(run.path, run.status.model_copy(update=status))
    table = opened("Error by layer", run=run.id).dataframe[0].value
    assert table["snr"].iloc[:-1].isna().all()  # infinite, which a table leaves out
    assert table["snr"].iloc[-1] < 20


def test_a_link_to_integers_whose_network_was_deleted_says_so(store, integers):
    store.delete(integers.config.parent)
    app = opened("Integers", of=integers.id)
    assert "is gone" in app.warning[0].value


def test_a_failure_is_shown_openly(store, network):
    run = store.create(Int8Recipe(), parent=network.id)
    status = {"state": "failed", "message": "The disk is full."}
    write_status(run.path, run.status.model_copy(update=status))
    assert any("The disk is full." in item.value for item in opened("Integers").markdown)
