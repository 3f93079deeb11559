"""The points of a scatter plot: two figures of each run, with what its tooltip says."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from core.accuracy import interval_text
from core.runs.comparison.compared import ComparedRun
from core.runs.comparison.differences import change_against_parent, difference_texts
from core.runs.comparison.figures import METRICS, Metric
from core.runs.comparison.frontier import frontier

_COLUMNS = ["id", "run", "kind", "x", "y", "x_low", "x_high", "y_low", "y_high", "interval"]
_COLUMNS += ["settings", "change", "place", "number", "on"]


@dataclass(frozen=True)
class Axis:
    """One axis. name: of the metric in `METRICS`. is_log: whether it is logarithmic."""

    name: str
    is_log: bool

    @property
    def metric(self) -> Metric:
        return METRICS[self.name]

    def shows(self, value: float | None) -> bool:
        """Whether the axis has a place for the value. A logarithmic one has none for zero."""
        return value is not None and math.isfinite(value) and (value > 0 or not self.is_log)


def scatter_table(runs: Sequence[ComparedRun], x: Axis, y: Axis) -> pd.DataFrame:
    """Return a row for each run that has both figures.

    id, run: its id and name. kind: how it was made. x, y: the figures. x_low, x_high, y_low,
    y_high: the ends of the 95% interval where the figure is the accuracy. interval: the same in
    words. settings: those in which the runs differ. change: against its parent. place: its number
    on the Pareto frontier, ascending by x; 0 if it is not on it. number: the same as text.
    """
    differences = difference_texts(runs)
    drawn = [
        run for run in runs if all(axis.shows(run.figures.value(axis.name)) for axis in (x, y))
    ]
    rows = [_row(run, x, y) | {"settings": differences[run.id] or "—"} for run in drawn]
    for row, place in zip(rows, _places(rows, x, y), strict=True):
        row["place"] = place
        row["number"] = str(place or "")
        row["on"] = f"yes, number {place}" if place else "no"
    return pd.DataFrame(rows, columns=_COLUMNS)


def _row(run: ComparedRun, x: Axis, y: Axis) -> dict[str, Any]:
    row: dict[str, Any] = {"id": run.id, "run": run.name, "kind": run.kind, "interval": "—"}
    figures = run.figures
    for letter, axis in (("x", x), ("y", y)):
        row[letter] = figures.value(axis.name)
        if axis.name == "accuracy" and figures.interval:
            row[f"{letter}_low"], row[f"{letter}_high"] = figures.interval
    if figures.accuracy is not None and figures.test_images:
        row["interval"] = f"{interval_text(figures.accuracy, figures.test_images)}%"
    return row | {"change": change_against_parent(run)}


def _places(rows: list[dict[str, Any]], x: Axis, y: Axis) -> list[int]:
    """Return the number of each row on the frontier, from 1; 0 if it is not on it."""
    points = [(row["x"], row["y"]) for row in rows]
    best = frontier(points, x.metric.more_is_better, y.metric.more_is_better)
    return [best.index(index) + 1 if index in best else 0 for index in range(len(rows))]
