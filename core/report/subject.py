"""Reads everything that a report tells of its runs, once."""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from core import data
from core.deploy.latency_report import LatencyReport
from core.errors import UserError
from core.models.card import ModelCard
from core.models.saved import read_card
from core.runs.comparison.compared import (
    ComparedRun,
    compared_runs,
    lineage_of,
    with_ancestors,
)
from core.runs.comparison.layers import LayerFigures, events_of_layers, layer_figures
from core.runs.comparison.multiply_adds import remaining_macs
from core.runs.event_lines import Events, epoch_ends
from core.runs.latency import newest_latencies, read_latency
from core.runs.run import MODEL, Run
from core.runs.store import RunStore

MOST_REPORTED = 200
"""A report tells of at most so many runs, as a comparison does."""


@dataclass(frozen=True)
class Subject:
    """The runs of a report, the oldest first, and what their files say.

    chosen: the runs that were asked for. family: these and all their ancestors. numbers: from 1,
    of each run in `family`, by id. epochs: the EpochEnd events of the runs in `family`, by id.
    layers: the figures of their layers, by id and by the name of the layer's parameter; without
    entry for a network that was neither pruned nor quantized. cards: their model cards, by id.
    latencies: the newest measurements of their speed, by id, as far as there are any.
    """

    chosen: tuple[ComparedRun, ...]
    family: tuple[ComparedRun, ...]
    numbers: Mapping[str, int]
    epochs: Mapping[str, Events]
    layers: Mapping[str, Mapping[str, LayerFigures]]
    cards: Mapping[str, ModelCard]
    latencies: Mapping[str, LatencyReport]

    @property
    def ids(self) -> frozenset[str]:
        """The ids of the chosen runs."""
        return frozenset(run.id for run in self.chosen)

    def label(self, run: ComparedRun) -> str:
        """Return the number and the name of a run, such as "3 · 5 clusters"."""
        return f"{self.numbers[run.id]} · {run.name}"


def read_subject(
    store: RunStore,
    run_ids: Iterable[str],
    infos: Mapping[str, data.DatasetInfo] = data.DATASETS,
) -> Subject:
    """Read the runs and their ancestors.

    infos: the data sets by name. Raises UserError for a run that is not there, for one that only
    measures another one, and for no run or more than `MOST_REPORTED`.
    """
    ids = frozenset(run_ids)
    if not 1 <= len(ids) <= MOST_REPORTED:
        raise UserError(f"A report takes 1 to {MOST_REPORTED} runs, got {len(ids)}.")
    for run_id in ids:
        _require_network(store.get(run_id))
    all_runs = store.list(helpers=True)
    runs_by_id = {run.id: run for run in all_runs if not run.is_helper}
    chosen = compared_runs([runs_by_id[run_id] for run_id in ids], runs_by_id)
    members = with_ancestors(chosen)
    events = {run.id: store.events(run.id) for run in members}
    layers = {run.id: _layers_of(lineage_of(run, runs_by_id), events) for run in members}
    macs = {
        run.id: remaining_macs(lineage_of(run, runs_by_id), infos.get(run.dataset), layers[run.id])
        for run in members
    }
    family = compared_runs(members, runs_by_id, macs, infos)
    return Subject(
        chosen=tuple(run for run in family if run.id in ids),
        family=tuple(family),
        numbers={run.id: number for number, run in enumerate(family, 1)},
        epochs={run_id: epoch_ends(rows) for run_id, rows in events.items()},
        layers={run_id: figures for run_id, figures in layers.items() if figures},
        cards=_cards_of(members),
        latencies=_latencies_of(members, all_runs),
    )


def _require_network(run: Run) -> None:
    if run.is_helper:
        raise UserError(
            f"The run {run.id} only measures the network of {run.config.parent}: name that one."
        )


def _layers_of(lineage: Iterable[Run], events: Mapping[str, Events]) -> dict[str, LayerFigures]:
    return layer_figures(
        event for member in lineage for event in events_of_layers(events[member.id])
    )


def _cards_of(runs: Iterable[Run]) -> dict[str, ModelCard]:
    """Return the model cards of the runs by id. A run whose result cannot be read has none."""
    cards = {}
    for run in runs:
        with contextlib.suppress(UserError):
            cards[run.id] = read_card(run.path / MODEL)
    return cards


def _latencies_of(runs: Iterable[Run], all_runs: Iterable[Run]) -> dict[str, LatencyReport]:
    """Return the newest measurements of the runs' speed by id. One that is damaged is left out."""
    newest = newest_latencies(all_runs)
    reports = {}
    for run in runs:
        with contextlib.suppress(UserError):
            if run.id in newest:
                reports[run.id] = read_latency(newest[run.id])
    return reports
