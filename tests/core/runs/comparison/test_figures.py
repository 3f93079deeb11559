"""The figures by which runs are compared."""

import dataclasses

import pytest

from core.accuracy import wilson_interval
from core.data import DATASETS
from core.runs.comparison.figures import METRICS, Figures, bytes_on_disk, figures_of
from core.runs.run import MODEL, OLD_PACKED, PACKED, write_status
from tests.sample_runs import RECIPE, sample_run, summary_of


def test_every_metric_is_a_figure():
    names = {field.name for field in dataclasses.fields(Figures)}
    assert set(METRICS) <= names
    assert all(metric.description.endswith(".") for metric in METRICS.values())


def test_figures_of_a_finished_run(store):
    run = sample_run(store)
    (run.path / PACKED).write_bytes(b"x" * 600)
    figures = figures_of(run, macs=5.0)
    assert figures.accuracy == pytest.approx(0.9)
    assert figures.bytes == 600
    assert figures.kept == 120
    assert figures.density == 0.1
    assert figures.bits == 8 * 600 / 1200
    assert figures.seconds == 125.0
    assert figures.macs == 5.0
    assert figures.value("bytes") == 600


def test_a_run_without_a_result_has_what_it_knows(store):
    figures = figures_of(sample_run(store, "failed", done=0))
    assert figures.accuracy is None
    assert figures.interval is None
    assert figures.bytes is None
    assert figures.bits is None
    assert figures.seconds is None
    assert (figures.kept, figures.density) == (120, 0.1)


def test_the_packed_file_counts_before_the_weights(store):
    run = sample_run(store)
    assert bytes_on_disk(run) == (run.path / MODEL).stat().st_size == 7
    (run.path / PACKED).write_bytes(b"packed")
    assert bytes_on_disk(run) == 6


def test_the_packed_file_of_an_older_run_counts_under_its_old_name(store):
    run = sample_run(store)
    (run.path / OLD_PACKED).write_bytes(b"older packed")
    assert bytes_on_disk(run) == 12
    (run.path / PACKED).write_bytes(b"packed")
    assert bytes_on_disk(run) == 6


def test_bits_come_from_the_summary_if_the_packed_file_is_gone(store):
    run = sample_run(store)
    summary = summary_of(run, packed_bytes=300)
    write_status(run.path, run.status.model_copy(update={"summary": summary}))
    assert figures_of(store.get(run.id)).bits == 2.0


def test_the_interval_is_that_of_the_test_images(store):
    run = sample_run(store)  # its summary does not say how many, but Digits have 360
    low, high = wilson_interval(0.9, 360)
    assert figures_of(run).interval == pytest.approx((low, high))
    summary = summary_of(run, test_images=100, classes=10)
    write_status(run.path, run.status.model_copy(update={"summary": summary}))
    assert figures_of(store.get(run.id)).test_images == 100
    assert Figures(accuracy=0.5).interval is None


def test_the_test_images_of_an_imported_data_set_are_those_of_its_infos(store):
    run = sample_run(store, recipe=RECIPE.model_copy(update={"dataset": "Birds"}))
    assert figures_of(run).classes is None
    infos = {
        "Birds": dataclasses.replace(DATASETS["Digits"], name="Birds", classes=3, test_images=50)
    }
    figures = figures_of(run, infos=infos)
    assert (figures.test_images, figures.classes) == (50, 3)
