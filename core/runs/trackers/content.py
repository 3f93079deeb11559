"""Everything of a run that a tracker gets, read from the run's folder."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.runs.comparison.settings import settings_of
from core.runs.event_lines import Events
from core.runs.run import INT8, MODEL, Run
from core.runs.store import RunStore
from core.runs.sweeps.store import SweepStore

_NO_METRICS = frozenset({"event", "time", "epoch", "epochs"})


@dataclass(frozen=True)
class MetricPoint:
    """One value of a metric. step: its epoch, from 1. time: in seconds since the epoch (UTC)."""

    name: str
    value: float
    step: int
    time: float


@dataclass(frozen=True)
class RunContent:
    """What a tracker gets of a run as it was on disk.

    params: the settings of the run and of those that it was made from. tags: words about the run by
    name. points: the metrics of every epoch, then the figures of the result. files: the result, if
    the run is finished. report: the result in sentences, "" while there is none.
    """

    run: Run
    params: Mapping[str, str]
    tags: Mapping[str, str]
    points: tuple[MetricPoint, ...]
    files: tuple[Path, ...]
    report: str


def read_run_content(run: Run) -> RunContent:
    """Read what a tracker gets of `run`. Raises UserError if the run was deleted."""
    store = RunStore(run.path.parent)
    files = _result_files(run)
    return RunContent(
        run=run,
        params=_params(store, run),
        tags=_tags(store, run),
        points=(*_epoch_points(store.epochs(run.id)), *_result_points(run)),
        files=files,
        report=_report(run, files),
    )


def _params(store: RunStore, run: Run) -> dict[str, str]:
    settings = settings_of(ancestor.recipe for ancestor in store.lineage(run.id))
    subject = {"model": run.model, "dataset": run.dataset, "density": run.density}
    params = {name: str(value) for name, value in (subject | settings).items() if value is not None}
    return {name: text for name, text in params.items() if text}


def _tags(store: RunStore, run: Run) -> dict[str, str]:
    """Return the tags. One that has become empty is there, so that the tracker forgets the old."""
    return {
        "secateur.run": run.id,
        "secateur.parent": run.config.parent or "",
        "secateur.kind": run.recipe.kind,
        "secateur.sweep": ", ".join(SweepStore(store).names_with(run.id)),
        "secateur.tags": ", ".join(run.tags),
        "secateur.state": run.state,
        "secateur.message": run.status.message,
    }


def _epoch_points(ends: Events) -> Iterator[MetricPoint]:
    for end in ends:
        for name, value in end.items():
            if name not in _NO_METRICS and value is not None:
                yield MetricPoint(name, float(value), end["epoch"], end["time"])


def _result_points(run: Run) -> Iterator[MetricPoint]:
    """Yield the figures of a finished run, named result/..., at the step of its last epoch."""
    summary = run.status.summary
    if summary is None or run.state != "finished":
        return
    for name, value in summary.to_dict().items():
        if _is_number(value):
            yield MetricPoint(f"result/{name}", float(value), summary.epochs, run.status.updated_at)


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _result_files(run: Run) -> tuple[Path, ...]:
    if run.state != "finished":
        return ()
    paths = (run.path / "config.json", run.packed_file, run.path / MODEL, run.path / INT8)
    return tuple(path for path in paths if path.is_file())


def _report(run: Run, files: tuple[Path, ...]) -> str:
    summary = run.status.summary
    if summary is None or not files:
        return ""
    sizes = [f"{path.name} has {path.stat().st_size:,} bytes." for path in files]
    result = f"{run.name}: test accuracy {summary.accuracy_text()}."
    return "\n".join([result, *sizes])
