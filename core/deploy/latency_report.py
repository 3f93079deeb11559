"""The result of measuring a network's speed, as it is kept in a file and told in words."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from core.deploy.latency import Latencies, Latency
from core.deploy.profile import OperatorTime, describe_operators
from core.errors import UserError

EAGER = "eager"
SMALLER = "smaller"

VARIANTS = {
    EAGER: "PyTorch, float",
    SMALLER: "PyTorch, dead channels removed, float",
    "compiled": "PyTorch compiled, float",
    "onnx": "ONNX Runtime, float",
    "int8": "ONNX Runtime, int8",
    "openvino": "OpenVINO, float",
    "openvino-int8": "OpenVINO, int8",
}
"""The ways to run a network, by name. The others are compared with the first.

ONNX files have no dead channels either, except for 8-bit ones of older versions. OpenVINO runs the
same ONNX files.
"""

FLOAT_VARIANTS = (EAGER, SMALLER, "compiled", "onnx", "openvino")
"""Those that compute in float, with the accuracy of the network itself."""


class BatchReport(BaseModel):
    """The speed at one batch size. operators: the slowest ones of a variant, by its name."""

    model_config = ConfigDict(frozen=True)

    batch: int
    latencies: Latencies
    operators: dict[str, list[OperatorTime]] = {}


class LatencyReport(BaseModel):
    """The speed of one network in several forms, measured in turn on one machine.

    int8_source: which file with 8-bit layers ran, in a sentence. int8_run: the id of the run that
    made it, "" if it was made for the measurement alone. processor: its name.
    int8_products: whether it adds up 8-bit products in one instruction, None if not known.
    versions: of the programs, by name. batches: one report for each batch size.
    dead_channels: a sentence on the channels that left the network, "" if none did.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    dataset: str
    int8_source: str
    int8_run: str = ""
    processor: str
    int8_products: bool | None = None
    versions: dict[str, str]
    batches: list[BatchReport]
    dead_channels: str = ""

    def latency(self, variant: str, batch: int) -> Latency | None:
        """Return the figures of a variant at a batch size; None if it was not measured."""
        for report in self.batches:
            if report.batch == batch:
                return report.latencies.variants.get(variant)
        return None

    def fastest_medians(self, variants: Collection[str]) -> dict[int, float]:
        """Return the least median of these variants in milliseconds, by batch size."""
        medians = {}
        for report in self.batches:
            measured = report.latencies.variants
            times = [measured[name].median for name in variants if name in measured]
            if times:
                medians[report.batch] = min(times)
        return medians


def read_report(path: Path) -> LatencyReport:
    """Read a report from its file. Raises UserError if it is missing or damaged."""
    try:
        return LatencyReport.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): measure again.") from error
    except ValidationError as error:
        raise UserError(f"{path} is damaged: measure again.") from error


def fastest(report: BatchReport) -> str:
    """Return the name of the variant with the lowest median."""
    variants = report.latencies.variants
    return min(variants, key=lambda name: variants[name].median)


def describe_speed(report: LatencyReport) -> list[str]:
    """Say in sentences what the report shows, first of all what is slower than eager PyTorch."""
    slower = [sentence for batch in report.batches for sentence in _slower_sentences(batch)]
    others = [_other_sentence(batch) for batch in report.batches]
    return [*slower, *filter(None, [*others, report.dead_channels, _conditions(report)])]


def table_rows(report: LatencyReport) -> list[dict[str, Any]]:
    """Return a row for each batch size and variant, with times in milliseconds."""
    rows = []
    for batch in report.batches:
        for name, latency in batch.latencies.variants.items():
            row: dict[str, Any] = {
                "batch": batch.batch,
                "variant": VARIANTS.get(name, name),
                "name": name,
            }
            figures = latency.model_dump() | {"spread": latency.spread}
            rows.append(row | figures | {"rounds": batch.latencies.rounds})
    return rows


def _slower_sentences(batch: BatchReport) -> Iterator[str]:
    """Yield a sentence for each variant that is slower than eager, with its slowest operators."""
    eager = batch.latencies.variants[EAGER]
    for name, latency in batch.latencies.variants.items():
        if not latency.is_slower:
            continue
        sentence = (
            f"SLOWER: at batch {batch.batch} {VARIANTS.get(name, name)} takes"
            f" {1 / latency.speedup:.2f} times as long as eager PyTorch"
            f" ({latency.median:.2f} ms against {eager.median:.2f} ms)."
        )
        operators = batch.operators.get(name, [])
        if operators:
            sentence += f" Most of its time goes to {describe_operators(operators)}."
        yield sentence


def _other_sentence(batch: BatchReport) -> str:
    """Say of the variants that are not slower than eager how much faster they are."""
    texts = []
    for name, latency in batch.latencies.variants.items():
        if name == EAGER or latency.is_slower:
            continue
        words = f"{latency.speedup:.2f} times as fast ({latency.low:.2f} to {latency.high:.2f})"
        if not latency.is_faster:
            words = f"as fast within the noise ({latency.low:.2f} to {latency.high:.2f} times)"
        texts.append(f"{VARIANTS.get(name, name)} {words}")
    if not texts:
        return ""
    return (
        f"At batch {batch.batch}, compared with eager PyTorch: {'; '.join(texts)}. The fastest is"
        f" {VARIANTS[fastest(batch)]}."
    )


def _conditions(report: LatencyReport) -> str:
    latencies = report.batches[0].latencies
    threads = "1 thread" if latencies.threads == 1 else f"{latencies.threads} threads"
    text = f"On the {latencies.device} ({report.processor}) with {threads}. {report.int8_source}"
    if report.int8_products is False:
        text += (
            " This processor has no instruction for sums of 8-bit products (VNNI), with which 8"
            " bits gain more."
        )
    return text
