"""The page of a run that measured the speed of another one."""

import pytest

from core.config import LatencyRecipe
from core.deploy.latency import Latencies, compare_times
from core.deploy.latency_report import BatchReport, LatencyReport
from core.runs.latency import request_latency
from core.runs.run import LATENCY, write_status
from pages.parts.shared.words import plain
from tests.pages.test_runs import opened, texts
from tests.sample_runs import sample_run, summary_of


@pytest.fixture
def run(store):
    run = request_latency(store, sample_run(store), LatencyRecipe(threads=2))
    times = {"eager": [0.005] * 3, "onnx": [0.004] * 3, "int8": [0.010] * 3}
    latencies = Latencies(variants=compare_times(times), rounds=3, device="cpu", threads=2)
    report = LatencyReport(
        model="LeNet5",
        dataset="Digits",
        int8_source="The 8-bit file was made here.",
        processor="a processor",
        versions={},
        batches=[BatchReport(batch=1, latencies=latencies)],
    )
    (run.path / LATENCY).write_text(report.model_dump_json())
    status = {"state": "finished", "summary": summary_of(run)}
    write_status(run.path, run.status.model_copy(update=status))
    return store.get(run.id)


def test_it_says_what_is_slower_and_how_to_measure_again(run):
    app = opened(run.id)
    sentence = "SLOWER: at batch 1 ONNX Runtime, int8 takes 2.00 times as long"
    assert plain(sentence) in texts(app)
    metric = next(one for one in app.metric if one.label == "Batch of 1")
    assert (metric.value, metric.delta) == ("4.00 ms", "ONNX Runtime, float")


def test_a_report_that_is_damaged(run):
    (run.path / LATENCY).write_text("{")
    app = opened(run.id)
    assert plain("is damaged: measure again") in texts(app)
