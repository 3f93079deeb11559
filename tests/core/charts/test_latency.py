"""The charts of speed and of tensor errors."""

import math

import pytest

from core.charts.latency import is_log, latency_alt_text, latency_chart, latency_table
from core.charts.tensor_error import error_alt_text, error_chart, error_table
from core.deploy.latency import Latencies, compare_times
from core.deploy.latency_report import BatchReport
from core.inspect.tensor_error import TensorError


def batch_report(**milliseconds):
    times = {name: [value / 1000] * 3 for name, value in milliseconds.items()}
    latencies = Latencies(variants=compare_times(times), rounds=3, device="cpu", threads=2)
    return BatchReport(batch=32, latencies=latencies)


def mark_of(layer):
    return layer["mark"]["type"]


def test_bars_from_zero_with_a_whisker_to_the_95th_percentile():
    report = batch_report(eager=20, onnx=15, int8=8)
    spec = latency_chart(report).to_dict()
    bars, whiskers, ends = spec["layer"]
    assert [mark_of(layer) for layer in (bars, whiskers, ends)] == ["bar", "rule", "tick"]
    assert bars["encoding"]["x"]["scale"] == {"zero": True}
    assert bars["encoding"]["x"]["title"] == "Milliseconds for a batch of 32"
    assert whiskers["encoding"]["x2"] == {"field": "p95"}
    assert bars["encoding"]["y"]["sort"] == [
        "PyTorch, float",
        "ONNX Runtime, float",
        "ONNX Runtime, int8",
    ]


def test_very_different_times_are_points_on_a_log_axis():
    report = batch_report(eager=100, int8=2)
    assert is_log(latency_table(report))
    spec = latency_chart(report).to_dict()
    points = spec["layer"][-1]
    assert mark_of(points) == "point"
    assert points["encoding"]["x"]["scale"]["type"] == "log"
    assert points["encoding"]["x"]["title"].endswith("log scale")


def test_the_table_and_the_text():
    report = batch_report(eager=20, int8=8)
    rows = latency_table(report).to_dict("records")
    assert rows[1]["form"] == "ONNX Runtime, int8"
    assert rows[1]["median"] == pytest.approx(8)
    assert rows[1]["speedup"] == pytest.approx(2.5)
    assert latency_alt_text(report) == (
        "Median time for a batch of 32: PyTorch, float 20 ms; ONNX Runtime, int8 8 ms."
    )


ERRORS = {
    "8 bits": [TensorError("conv", math.inf, None), TensorError("fc", 31.5, None)],
    "5 clusters": [TensorError("conv", 20.0, None), TensorError("fc", 12.0, 8.0)],
}


def test_errors_run_along_the_layers():
    table = error_table(ERRORS)
    assert len(table) == 4
    spec = error_chart(table).to_dict()
    encoding = spec["layer"][0]["encoding"]
    assert encoding["x"]["sort"] == ["conv", "fc"]
    assert encoding["y"]["title"] == "Signal-to-noise ratio (dB)"
    assert encoding["color"]["scale"]["domain"] == ["8 bits", "5 clusters"]
    assert encoding["color"]["legend"] is not None
    assert "The lowest is 12.0 dB, at fc of 5 clusters." in error_alt_text(table)


def test_one_network_has_no_legend_and_none_may_have_an_error():
    table = error_table({"8 bits": ERRORS["8 bits"][:1]})
    assert error_chart(table).to_dict()["layer"][0]["encoding"]["color"]["legend"] is None
    assert error_alt_text(table) == "The outputs of 1 layers have no error."
