"""The words of a measurement, and its file."""

import pytest

from core.deploy.latency import Latencies, compare_times
from core.deploy.latency_report import (
    BatchReport,
    LatencyReport,
    describe_speed,
    fastest,
    read_report,
    table_rows,
)
from core.deploy.profile import OperatorTime
from core.errors import UserError


def batch_of(size, operators=None, **milliseconds):
    times = {name: [value / 1000] * 3 for name, value in milliseconds.items()}
    latencies = Latencies(variants=compare_times(times), rounds=3, device="cpu", threads=2)
    return BatchReport(batch=size, latencies=latencies, operators=operators or {})


def report_of(*batches):
    return LatencyReport(
        model="LeNet5",
        dataset="Digits",
        int8_source="The 8-bit file was made here.",
        processor="a processor",
        versions={"torch": "2"},
        batches=list(batches),
    )


def test_what_is_slower_comes_first_with_its_operators():
    operators = [
        OperatorTime(name="conv1", op_type="QLinearConv", milliseconds=6, share=0.6),
        OperatorTime(name="fc", op_type="QGemm", milliseconds=4, share=0.4),
    ]
    slow = batch_of(1, {"int8": operators}, eager=5, onnx=4, int8=10)
    first, *others = describe_speed(report_of(batch_of(32, eager=20, int8=8), slow))
    assert first == (
        "SLOWER: at batch 1 ONNX Runtime, int8 takes 2.00 times as long as eager PyTorch (10.00 ms"
        " against 5.00 ms). Most of its time goes to QLinearConv conv1 (60%) and QGemm fc (40%)."
    )
    assert others == [
        "At batch 32, compared with eager PyTorch: ONNX Runtime, int8 2.50 times as fast (2.50 to"
        " 2.50). The fastest is ONNX Runtime, int8.",
        "At batch 1, compared with eager PyTorch: ONNX Runtime, float 1.25 times as fast (1.25 to"
        " 1.25). The fastest is ONNX Runtime, float.",
        "On the cpu (a processor) with 2 threads. The 8-bit file was made here.",
    ]


@pytest.mark.parametrize(("products", "is_told"), [(False, True), (True, False), (None, False)])
def test_a_processor_that_cannot_gain_from_8_bits_is_told(products, is_told):
    report = report_of(batch_of(1, eager=5, int8=5))
    *_, conditions = describe_speed(report.model_copy(update={"int8_products": products}))
    assert ("VNNI" in conditions) == is_told


def test_no_difference_is_called_noise():
    sentences = describe_speed(report_of(batch_of(1, eager=5, int8=5)))
    assert "int8 as fast within the noise (1.00 to 1.00 times)" in sentences[0]


def test_rows_the_fastest_and_single_figures():
    batch = batch_of(32, eager=20, onnx=15, int8=8)
    report = report_of(batch)
    assert fastest(batch) == "int8"
    rows = table_rows(report)
    assert [(row["batch"], row["name"]) for row in rows] == [
        (32, "eager"),
        (32, "onnx"),
        (32, "int8"),
    ]
    assert rows[2]["median"] == pytest.approx(8)
    latency = report.latency("int8", 32)
    assert latency is not None
    assert latency.speedup == pytest.approx(2.5)
    assert report.latency("compiled", 32) is None
    assert report.latency("int8", 8) is None


def test_the_file_is_read_back(tmp_path):
    report = report_of(batch_of(1, eager=5, int8=4))
    path = tmp_path / "latency.json"
    path.write_text(report.model_dump_json())
    assert read_report(path) == report
    path.write_text("{}")
    with pytest.raises(UserError, match="is damaged: measure again"):
        read_report(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_report(tmp_path / "none.json")
