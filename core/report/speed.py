"""The measured speed of the networks of a report, for those that were measured."""

from core.deploy.latency import Latency
from core.deploy.latency_report import VARIANTS, LatencyReport, describe_speed
from core.report.format.markup import Markup, Node, bullet_list, element, joined, table
from core.report.subject import Subject

_NUMBERS = ["Batch", "Median (ms)", "Middle half (ms)", "Times as fast", "95% interval"]


def speed_tables(subject: Subject) -> Markup:
    """Return the newest measurement of each network, with what it shows in sentences."""
    return joined(
        joined(
            [
                _speed_table(subject.label(run), subject.latencies[run.id]),
                bullet_list(describe_speed(subject.latencies[run.id])),
            ]
        )
        for run in subject.chosen
        if run.id in subject.latencies
    )


def _speed_table(label: str, report: LatencyReport) -> Markup:
    rows = [
        _row(VARIANTS.get(name, name), batch.batch, latency)
        for batch in report.batches
        for name, latency in batch.latencies.variants.items()
    ]
    columns = ["Runs as", *_NUMBERS]
    return table(f"Time of one call of {label}", columns, rows, _NUMBERS)


def _row(variant: str, batch: int, latency: Latency) -> list[Node]:
    return [
        variant,
        str(batch),
        f"{latency.median:.2f}",
        f"{latency.p25:.2f} to {latency.p75:.2f}",
        element("strong", f"{latency.speedup:.2f}"),
        f"{latency.low:.2f} to {latency.high:.2f}",
    ]
