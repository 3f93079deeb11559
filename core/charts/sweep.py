"""Draws the results of a sweep: accuracy along one setting, a line for each method."""

from collections.abc import Sequence
from typing import Any, Literal

import altair as alt
import pandas as pd

from core.runs.comparison.settings import DENSITY, label_of
from core.runs.sweeps.points import Axes, Point, lines_of

HEIGHT = 380
_ALL = "all"  # the only line, if nothing tells lines apart
_COLUMNS = ["line", "along", "accuracy", "seed", "name", "run", "guessing"]


def sweep_table(points: Sequence[Point], axes: Axes) -> pd.DataFrame:
    """Return a row for each point on each of its lines.

    line: what tells the line apart, in words. along: the value along the chart. accuracy: on the
    test images, in [0, 1]. seed: of the training. name, run: of the run. guessing: whether it is no
    better than guessing.
    """
    rows = []
    for point in points:
        for line in lines_of(point, axes):
            rows.append(
                {
                    "line": _line_words(line, axes),
                    "along": point.settings.get(axes.along) if axes.along else None,
                    "accuracy": point.accuracy,
                    "seed": _seed(point),
                    "name": point.run.name,
                    "run": point.run.id,
                    "guessing": "no better than guessing" if point.is_guessing else "",
                }
            )
    return pd.DataFrame(rows, columns=_COLUMNS)


def summary_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean and the spread of every place on every line of a `sweep_table`.

    Columns: line, along, mean, low, high (in [0, 1], the least and the greatest of the seeds), and
    runs, their number.
    """
    # A seed counts once, also if it was run with other settings that change nothing.
    seeds = table.groupby(["line", "along", "seed"], sort=False, dropna=False, as_index=False)
    means = seeds["accuracy"].mean()
    groups = means.groupby(["line", "along"], sort=False, dropna=False)["accuracy"]
    summary = groups.agg(mean="mean", low="min", high="max", runs="count")
    return summary.reset_index()


def sweep_chart(points: Sequence[Point], axes: Axes, chance: float | None = None) -> alt.LayerChart:
    """Draw the mean of the seeds as a line, each seed as a point, and their spread as an area.

    A density is on a logarithmic axis. If no number differs, each line becomes a group of points.
    chance: the accuracy of guessing, drawn as a dashed line.
    """
    table = sweep_table(points, axes)
    planned = [_line_words(line, axes) for line in axes.line_values]
    lines = list(dict.fromkeys([*planned, *table["line"]]))
    color = alt.Color(
        "line:N",
        scale=alt.Scale(domain=lines),
        legend=alt.Legend(title=None, orient="top", columns=4, symbolOpacity=1)
        if len(lines) > 1
        else None,
    )
    y = alt.Y(
        "accuracy:Q",
        title="Test accuracy",
        scale=alt.Scale(zero=False),
        axis=alt.Axis(format="~%", labelFlush=False),
    )
    x = _along(axes)
    seeds = (
        alt.Chart(alt.NamedData("points"))
        .mark_circle(size=44, opacity=0.75)
        .encode(x=x, y=y, color=color, tooltip=_tooltip(axes))
    )
    layers = [seeds]
    datasets = {"points": table.to_dict("records")}
    if axes.along is not None:
        datasets["means"] = summary_table(table).to_dict("records")
        means = alt.Chart(alt.NamedData("means")).encode(x=x, color=color)
        layers = [
            means.mark_area(opacity=0.15).encode(y=alt.Y("low:Q"), y2="high:Q"),
            means.mark_line(strokeWidth=2).encode(y=alt.Y("mean:Q")),
            seeds,
        ]
    if chance is not None:
        datasets["chance"] = [{"accuracy": chance}]
        rule = alt.Chart(alt.NamedData("chance")).mark_rule(strokeDash=[4, 4], color="#808080")
        layers.append(rule.encode(y="accuracy:Q", tooltip=alt.value("guessing")))
    chart = alt.LayerChart(layer=layers, datasets=datasets)
    return chart.properties(height=HEIGHT)


def _along(axes: Axes) -> alt.X:
    if axes.along is None:
        return alt.X("line:N", title=None, axis=alt.Axis(labelAngle=0))
    if axes.along == DENSITY:
        return alt.X(
            "along:Q",
            title="Density: weights kept",
            scale=_scale("log", axes),
            axis=alt.Axis(format="~%", grid=False, labelFlush=False),
        )
    return alt.X(
        "along:Q",
        title=label_of(axes.along),
        scale=_scale("log" if axes.along.endswith((".lr", ".clusters")) else "linear", axes),
        axis=alt.Axis(format="~g", grid=False, labelFlush=False),
    )


def _scale(kind: Literal["log", "linear"], axes: Axes) -> alt.Scale:
    """A scale that spans the whole sweep from the start, so that a growing chart stays still."""
    domain = alt.Undefined if axes.span is None else list(axes.span)
    return alt.Scale(type=kind, domain=domain, nice=False, zero=False)


def _tooltip(axes: Axes) -> list[alt.Tooltip]:
    along_format = ".3~%" if axes.along == DENSITY else "~g"
    along = (
        []
        if axes.along is None
        else [alt.Tooltip("along:Q", title=label_of(axes.along), format=along_format)]
    )
    return [
        alt.Tooltip("name:N", title="Run"),
        *along,
        alt.Tooltip("accuracy:Q", title="Test accuracy", format=".2%"),
        alt.Tooltip("seed:N", title="Seed"),
        alt.Tooltip("guessing:N", title="Note"),
    ]


def _line_words(line: Sequence[Any], axes: Axes) -> str:
    """Return what tells a line apart, such as "snip" or "snip, layerwise: True"."""
    words = []
    for name, value in zip(axes.lines, line, strict=True):
        if isinstance(value, str):
            words.append(value)
        elif value is not None:
            words.append(f"{label_of(name).lower()} {value}")
    return ", ".join(words) or _ALL


def _seed(point: Point) -> Any:
    names = ("train.seed", "kmeans.seed", "affine.seed")
    return next((point.settings[name] for name in names if name in point.settings), 0)
