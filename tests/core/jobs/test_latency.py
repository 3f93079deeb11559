"""Measuring speed as a job and as a run. Nothing here asserts a time."""

import pytest

from core import models
from core.config import Int8Recipe, KMeansRecipe, LatencyRecipe, TrainRecipe
from core.deploy.latency import Latencies, compare_times
from core.deploy.latency_report import BatchReport, LatencyReport
from core.deploy.openvino_engine import has_openvino
from core.errors import UserError
from core.events import Finished, Note, result_of
from core.hashes import write_with_hash
from core.jobs.check import check_recipe
from core.jobs.latency import LatencyJob
from core.models import saved
from core.models.card import ModelCard
from core.models.saved import SavedModel
from core.runs import worker
from core.runs.comparison.compared import compared_runs
from core.runs.integrity import check_runs
from core.runs.latency import (
    latency_figures,
    latency_subject,
    newest_latencies,
    read_latency,
    request_latency,
)
from core.runs.run import INT8, LATENCY, MODEL, write_status
from tests.sample_runs import sample_run

OPENVINO_FORMS = ["openvino", "openvino-int8"] if has_openvino() else []
RECIPE = LatencyRecipe(batch_sizes=(2,), threads=1, seconds=0.001)


def lenet(dead_channels=()):
    card = ModelCard(
        model="LeNet5",
        dataset="Digits",
        classes=tuple("0123456789"),
        mean=(0.2, 0.3, 0.4),
        std=(0.5, 0.6, 0.7),
        side=32,
    )
    state = models.build("LeNet5", 10).state_dict()
    for channel in dead_channels:
        state["features.0.weight"][channel] = 0
    return SavedModel(card, state)


@pytest.fixture
def parent(store):
    run = sample_run(store, recipe=TrainRecipe(model="LeNet5", dataset="Digits", epochs=4))
    network = lenet()
    write_with_hash(run.path / MODEL, saved.model_bytes(network.state, network.card))
    return run


def int8_run(store, parent, content=b"file"):
    run = store.create(Int8Recipe(), parent=parent.id)
    write_with_hash(run.path / INT8, content)
    write_status(run.path, run.status.model_copy(update={"state": "finished"}))
    return store.get(run.id)


def test_the_report_has_every_form_and_says_how_it_was_made(digits):
    job = LatencyJob(RECIPE, lenet(), digits, recorded=0.5)
    assert job.files() == {}
    events = list(job.events())
    report = LatencyReport.model_validate_json(job.files()[LATENCY])
    (batch,) = report.batches
    assert list(batch.latencies.variants) == ["eager", "onnx", "int8", *OPENVINO_FORMS]
    assert (batch.batch, batch.latencies.threads, batch.latencies.rounds) == (2, 1, 20)
    assert batch.latencies.variants["eager"].speedup == 1
    assert "made for this measurement, with 64 calibration images" in report.int8_source
    assert {operator.name for operator in batch.operators["onnx"]} >= {"features.0"}
    notes = [event.text for event in events if isinstance(event, Note)]
    assert any(report.int8_source in note for note in notes)
    assert isinstance(events[-1], Finished)
    assert events[-1].summary.test_accuracy == 0.5
    assert job.result() == {}


@pytest.fixture(scope="module")
def measured_with_dead_channels(digits):
    """The job and the events of a network whose accuracy was not recorded."""
    job = LatencyJob(RECIPE, lenet(dead_channels=[0, 2, 4]), digits)
    return job, list(job.events())


def test_a_network_with_dead_channels_is_measured_without_them_too(measured_with_dead_channels):
    job, events = measured_with_dead_channels
    report = LatencyReport.model_validate_json(job.files()[LATENCY])
    (batch,) = report.batches
    assert list(batch.latencies.variants) == ["eager", "smaller", "onnx", "int8", *OPENVINO_FORMS]
    assert report.dead_channels.startswith("Dead channels: 3 of 236 leave the network;")
    notes = [event.text for event in events if isinstance(event, Note)]
    assert report.dead_channels in notes
    assert {operator.name for operator in batch.operators["onnx"]} >= {"features.0"}


def test_without_a_recorded_accuracy_the_network_is_tested(measured_with_dead_channels):
    _, events = measured_with_dead_channels
    assert isinstance(events[-1], Finished)
    summary = events[-1].summary
    assert 0 <= summary.test_accuracy <= 1
    assert summary.test_images == 360


def test_compiling_needs_a_compiler(digits, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    job = LatencyJob(RECIPE.model_copy(update={"compiled": True}), lenet(), digits)
    with pytest.raises(UserError, match=r"needs a C\+\+ compiler"):
        list(job.events())


# -- as a run --


def test_it_becomes_a_run_without_a_model(store, digits, parent):
    run = request_latency(store, parent, RECIPE)
    check_recipe(run.recipe, digits, dataset=run.dataset)
    assert run.is_helper
    assert [listed.id for listed in store.list()] == [parent.id]
    list(worker.work(run, digits))
    run = store.get(run.id)
    assert run.state == "finished", run.status.message
    assert not run.has_model
    assert read_latency(run).model == "LeNet5"
    checked = result_of(check_runs([run]))
    assert [(file.path.name, file.state) for file in checked] == [(LATENCY, "intact")]
    assert newest_latencies(store.list(helpers=True)) == {parent.id: run}


def test_it_needs_a_parent_and_is_none(store, parent):
    with pytest.raises(UserError, match=r"needs a parent: the run whose network is measured\.$"):
        store.create(RECIPE)
    run = request_latency(store, parent, RECIPE)
    with pytest.raises(UserError, match="no result to start from"):
        store.create(KMeansRecipe(), parent=run.id)


def test_the_subject_of_a_network_is_its_newest_8_bit_file(store, parent):
    assert latency_subject(store, parent).int8 is None
    assert latency_subject(store, parent).read_int8() == (None, "")
    int8_run(store, parent)
    newest = int8_run(store, parent, b"newer")
    subject = latency_subject(store, parent)
    assert subject.network == parent
    content, source = subject.read_int8()
    assert content == b"newer"
    assert newest.id in source


def test_the_subject_of_an_8_bit_file_is_its_parents_network(store, parent):
    older = int8_run(store, parent)
    int8_run(store, parent, b"newer")
    subject = latency_subject(store, older)
    assert (subject.network.id, subject.int8) == (parent.id, older)
    run = request_latency(store, older, RECIPE)
    assert run.config.parent == older.id
    (older.path / INT8).write_bytes(b"spoilt")
    with pytest.raises(UserError, match="is damaged"):
        latency_subject(store, older).read_int8()


def test_an_8_bit_run_is_measured_with_its_own_file(store, digits, parent):
    int8 = store.create(Int8Recipe(images=8), parent=parent.id)
    list(worker.work(int8, digits))
    run = request_latency(store, store.get(int8.id), RECIPE)
    list(worker.work(run, digits))
    run = store.get(run.id)
    assert run.state == "finished", run.status.message
    assert int8.id in read_latency(run).int8_source
    assert read_latency(run).int8_run == int8.id


# -- as figures of a comparison --


def measured(store, parent, name, int8_run="", **milliseconds):
    """A finished measurement of the parent, at a batch of 1 and of 32 (ten times as long)."""
    batches = []
    for size, factor in ((1, 1), (32, 10)):
        times = {form: [factor * value / 1000] * 3 for form, value in milliseconds.items()}
        latencies = Latencies(variants=compare_times(times), rounds=3, device="cpu", threads=1)
        batches.append(BatchReport(batch=size, latencies=latencies))
    report = LatencyReport(
        model="LeNet5",
        dataset="Digits",
        int8_source="",
        int8_run=int8_run,
        processor="",
        versions={},
        batches=batches,
    )
    run = request_latency(store, parent, RECIPE, token=name)
    (run.path / LATENCY).write_text(report.model_dump_json())
    write_status(run.path, run.status.model_copy(update={"state": "finished"}))
    return run


def test_a_float_network_counts_with_its_fastest_float_form_and_a_file_with_its_integers(
    store, parent
):
    int8 = int8_run(store, parent)
    measured(store, parent, "older", eager=1, onnx=1, int8=1)
    measured(store, parent, "newer", eager=5, onnx=4, int8=2)
    measured(store, int8, "int8", eager=5, onnx=4, int8=3)
    figures = latency_figures(store.list(helpers=True))
    assert figures[parent.id] == pytest.approx({1: 4, 32: 40})
    assert figures[int8.id] == pytest.approx({1: 3, 32: 30})
    runs = {run.id: run for run in store.list()}
    compared, _ = compared_runs([runs[parent.id], runs[int8.id]], runs, latencies=figures)
    assert compared.figures.value("latency_ms") == pytest.approx(4)
    assert compared.figures.value("latency_32_ms") == pytest.approx(40)


def test_a_file_is_measured_with_its_network_and_the_newer_measurement_counts(store, parent):
    int8 = int8_run(store, parent)
    measured(store, int8, "own", eager=5, int8=3)
    measured(store, parent, "with its network", int8.id, eager=5, int8=2, **{"openvino-int8": 1})
    assert latency_figures(store.list(helpers=True))[int8.id] == pytest.approx({1: 2, 32: 20})
    measured(store, int8, "own again", eager=5, int8=4)
    assert latency_figures(store.list(helpers=True))[int8.id] == pytest.approx({1: 4, 32: 40})


def test_a_measurement_that_cannot_be_read_is_no_figure(store, parent):
    run = measured(store, parent, "damaged", eager=1)
    (run.path / LATENCY).write_text("{")
    assert latency_figures(store.list(helpers=True)) == {}
    assert compared_runs([parent], {parent.id: parent})[0].figures.latency_ms is None
