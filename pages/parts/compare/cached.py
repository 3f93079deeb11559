"""Reads and computes the figures of a comparison, and keeps them for the page's next run."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import streamlit as st

from core.data import DatasetInfo
from core.runs.comparison.compared import ComparedRun, compared_runs, lineage_of
from core.runs.comparison.layers import LayerFigures, events_of_layers, layer_figures
from core.runs.comparison.multiply_adds import costs_of_layers, count_macs, is_pruned
from core.runs.event_lines import epoch_ends, read_events
from core.runs.latency import latency_figures
from core.runs.run import Run
from core.runs.store import RunStore
from pages.parts.shared.accuracies import dataset_infos
from pages.parts.shared.cache import FileKey, file_key

_Events = list[dict[str, Any]]


def compare(
    runs: Sequence[Run], runs_by_id: Mapping[str, Run], metrics: Iterable[str] = ()
) -> list[ComparedRun]:
    """Return the runs for a comparison.

    The multiply-adds are counted if a metric is "macs", and measured times are read if one is.
    """
    macs: dict[str, float | None] = {}
    infos = dataset_infos()
    if "macs" in metrics:
        with st.spinner("Counting multiply-adds ...", show_time=True):
            for run in runs:
                lineage = lineage_of(run, runs_by_id)
                macs[run.id] = _macs_left(lineage, infos.get(run.dataset))
    latencies: dict[str, dict[int, float]] = {}
    if runs and not {"latency_ms", "latency_32_ms"}.isdisjoint(metrics):
        latencies = latency_figures(RunStore(runs[0].path.parent).list(helpers=True))
    return compared_runs(runs, runs_by_id, macs, infos, latencies)


def epochs_of(run: Run) -> _Events:
    """Return the EpochEnd events of a run, in order."""
    return [event for file in _event_files([run]) for event in _read_events(file)[0]]


def layers_of_run(lineage: Sequence[Run]) -> dict[str, LayerFigures]:
    """Return the figures of each layer of the last run in a lineage, by parameter name."""
    return _read_layers(_event_files(lineage))


def forget_compared() -> None:
    """Forget what was read, for a measurement of reading it."""
    _read_events.cache_clear()
    _count_macs.cache_clear()
    costs_of_layers.cache_clear()


def _event_files(runs: Iterable[Run]) -> tuple[FileKey, ...]:
    """Return the keys of the runs' files of events, of which some may be missing."""
    keys = []
    for run in runs:
        with contextlib.suppress(OSError):
            keys.append(file_key(run.path / "events.jsonl"))
    return tuple(keys)


# Streamlit's cache would copy the events, which nobody changes, and take a second for 200 runs.
@lru_cache(maxsize=1000)
def _read_events(key: FileKey) -> tuple[_Events, _Events]:
    """Return the EpochEnd events of a file, and those that describe layers."""
    events = read_events(Path(key[0]))
    return epoch_ends(events), events_of_layers(events)


def _read_layers(files: Iterable[FileKey]) -> dict[str, LayerFigures]:
    return layer_figures(event for file in files for event in _read_events(file)[1])


def _macs_left(lineage: Sequence[Run], info: DatasetInfo | None) -> float | None:
    """Return the multiply-adds that remain for one image; None if they are not known."""
    if info is None:
        return None
    files = _event_files(lineage)
    return _count_macs(lineage[-1].model, info.classes, info.side, is_pruned(lineage), files)


@lru_cache(maxsize=1000)
def _count_macs(
    model: str, classes: int, side: int, pruned: bool, files: tuple[FileKey, ...]
) -> float | None:
    return count_macs(model, classes, side, pruned, _read_layers(files))
