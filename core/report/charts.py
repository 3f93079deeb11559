"""The charts of a report: the same that the Compare page draws, with what a tooltip says there."""

from collections import Counter
from collections.abc import Iterator, Sequence

import altair as alt
import pandas as pd

from core.charts.compare.colours import coloured_names
from core.charts.compare.curves import SERIES, Quantity, Series, curves_chart, curves_table
from core.charts.compare.layers import layers_chart, layers_table
from core.charts.compare.map import map_chart, map_table
from core.charts.compare.points import Axis, scatter_table
from core.charts.compare.scatter import scatter_chart
from core.report.format.drawings import figure
from core.report.format.markup import Markup, element
from core.report.subject import Subject
from core.runs.comparison.compared import ComparedRun
from core.runs.comparison.course import course_of
from core.runs.comparison.layers import LAYER_METRICS, LayerFigures
from core.runs.event_lines import Events

MOST_ON_MAP = 40
"""A map of more runs is too small to read on paper. They are listed instead."""

_FEW = 3  # runs whose training curves are drawn beside the test curves
_MOST_LAYERS = 45  # in one chart, which has to fit on a page
_MOST_LINES = 40  # runs in one chart of layers
_MOST_EPOCHS = 2_000  # points of all runs together
"""More points would make the file large, and no line better."""

_BYTES = Axis("bytes", is_log=True)
_ACCURACY = Axis("accuracy", is_log=False)


def map_figure(subject: Subject) -> Markup:
    """Return the map of the runs by parent. It has at most `MOST_ON_MAP` runs."""
    table = map_table(subject.family, subject.chosen, "accuracy")
    return figure(
        map_chart(_with_numbers(table, subject), "accuracy"),
        "map",
        f"{len(table)} runs from left to right by what they were made from, coloured by accuracy",
        "A line leads from a run to what was made from it. Circles are the runs of this report,"
        " squares are ancestors. The number in front of a name is that of the tables.",
    )


def scatter_figure(subject: Subject) -> Markup | None:
    """Return the accuracy against the size on disk; None if no run has both."""
    table = scatter_table(subject.chosen, _BYTES, _ACCURACY)
    if table.empty:
        return None
    table["number"] = [str(subject.numbers[run_id]) for run_id in table["id"]]
    chart = scatter_chart(table, _BYTES, _ACCURACY, chance_level(subject.chosen))
    best = table[table["place"] > 0].sort_values("place")["id"]
    by_id = {run.id: run for run in subject.chosen}
    return figure(
        chart + _other_numbers(table),
        "scatter",
        f"Test accuracy against size on disk of {len(table)} runs",
        "Numbers are those of the tables. The line is the Pareto frontier: no other run of this"
        " report is at least as good in both figures and better in one. On it, from the smallest:",
        " ",
        ", ".join(subject.label(by_id[run_id]) for run_id in best),
        ". Bars are 95% intervals (Wilson) from the number of test images. Where they overlap, the"
        " order of two runs can be chance.",
    )


def _other_numbers(table: pd.DataFrame) -> alt.Chart:
    """Write the numbers of the runs that are not on the frontier, which have theirs already."""
    others = alt.Chart(table[table["place"] == 0])
    return others.mark_text(dy=-13, dx=-9, fontSize=11, color="#8a938d").encode(
        x="x:Q", y="y:Q", text="number:N"
    )


def chance_level(runs: Sequence[ComparedRun]) -> float | None:
    """Return the accuracy of guessing; None if the runs have different numbers of classes."""
    counts = {run.figures.classes for run in runs if run.figures.classes}
    return 1 / counts.pop() if len(counts) == 1 else None


def curves_figure(subject: Subject, quantity: Quantity) -> Markup | None:
    """Return the accuracy or the loss of all epochs; None if no run has epochs."""
    epochs = {run.id: subject.epochs[run.id] for run in subject.chosen if subject.epochs[run.id]}
    if not epochs:
        return None
    runs = [run for run in subject.chosen if run.id in epochs]
    names = {run.id: subject.label(run) for run in runs}
    coloured = coloured_names(runs)
    labels = [subject.label(run) for run in runs if run.name in coloured]
    series: tuple[Series, ...] = SERIES if len(runs) <= _FEW else ("test",)
    rows = _thinned(epochs)
    ends = {run.id: course_of(run.run.recipe, rows[run.id], "epoch") for run in runs}
    table = curves_table(rows, ends, names, quantity, series)
    caption = "Test figures are measured at the end of an epoch, training figures are its means."
    if len(series) == 1:
        caption = "Measured on the test images at the end of each epoch."
    if len(runs) > len(labels):
        caption += (
            f" The {len(labels)} runs with the highest test accuracy have a colour;"
            " the others are grey."
        )
    return figure(
        curves_chart(table, labels, quantity, "epoch", series),
        f"curves-{quantity}",
        f"{quantity.capitalize()} of {len(runs)} runs by epoch",
        caption,
    )


def _thinned(epochs: dict[str, Events]) -> dict[str, Events]:
    """Return evenly spaced epochs of each run, with the last one."""
    most = max(10, _MOST_EPOCHS // (len(epochs) * len(SERIES)))
    strides = {run_id: -(-len(rows) // most) for run_id, rows in epochs.items()}
    return {run_id: rows[:: -strides[run_id]][::-1] for run_id, rows in epochs.items()}


def layers_charts(subject: Subject, metric: str) -> Iterator[Markup]:
    """Yield charts of a figure of the layers, for each network in parts that fit on a page.

    metric: of `LAYER_METRICS`.
    """
    networks = Counter(run.run.model for run in subject.chosen)
    for number, network in enumerate(networks):
        runs = _best([run for run in subject.chosen if run.run.model == network])
        table = _layers_of_network(subject, runs, metric)
        places = table["place"].max() + 1 if len(table) else 0
        for start in range(0, places, _MOST_LAYERS):
            part = table[table["place"].between(start, start + _MOST_LAYERS - 1)]
            yield _layers_figure(subject, runs, part, metric, f"{network}", f"{number}-{start}")


def _best(runs: Sequence[ComparedRun]) -> list[ComparedRun]:
    """Return the runs with the highest test accuracy, in the same order, if there are many."""
    best = sorted(runs, key=lambda run: run.figures.accuracy or 0.0, reverse=True)
    ids = {run.id for run in best[:_MOST_LINES]}
    return [run for run in runs if run.id in ids]


def _layers_of_network(subject: Subject, runs: Sequence[ComparedRun], metric: str) -> pd.DataFrame:
    figures: dict[str, dict[str, LayerFigures]] = {
        run.id: dict(subject.layers[run.id]) for run in runs if run.id in subject.layers
    }
    names = {run.id: subject.label(run) for run in runs}
    return layers_table(figures, names, metric)


def _layers_figure(
    subject: Subject,
    runs: Sequence[ComparedRun],
    table: pd.DataFrame,
    metric: str,
    network: str,
    name: str,
) -> Markup:
    drawn = [run for run in runs if run.id in set(table["id"])]
    coloured = coloured_names(drawn)
    labels = [subject.label(run) for run in drawn if run.name in coloured]
    title = LAYER_METRICS[metric].title
    return figure(
        layers_chart(table, labels, metric),
        f"layers-{metric}-{name}",
        f"{title} of each layer of {len(drawn)} runs of {network}",
        element("strong", network),
        f": {LAYER_METRICS[metric].description}",
    )


def _with_numbers(table: pd.DataFrame, subject: Subject) -> pd.DataFrame:
    numbers = table["id"].map(subject.numbers).astype(str)
    return table.assign(run=numbers + " · " + table["run"])
