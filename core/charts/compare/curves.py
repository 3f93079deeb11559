"""Draws the trainings of several runs over each other, smoothed if wanted."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import altair as alt
import pandas as pd

from core.charts.compare.colours import legend_height, run_colour
from core.charts.compare.picks import line_marks
from core.charts.training import EpochRows
from core.runs.comparison.course import Course

Quantity = Literal["accuracy", "loss"]
Series = Literal["train", "test"]

SERIES: tuple[Series, ...] = ("train", "test")

_HEIGHT = 360  # pixels without the legend
_MOST_POINTS = 20_000  # of all lines together
_LEAST_POINTS = 20  # of one line
_DASHES = [[1, 0], [6, 3]]  # of training and test, as in `core.charts.training`
_WORDS: dict[Series, str] = {"train": "training", "test": "test"}
_TITLES: dict[str, tuple[str, str, str]] = {
    "accuracy": ("Accuracy", ".2%", "~%"),
    "loss": ("Cross entropy (nats)", ".4f", "~g"),
}
_COURSES: dict[Course, tuple[str, str]] = {
    "epoch": ("Epoch", ",d"),
    "step": ("Optimizer steps", ",d"),
    "time": ("Time since the start, with tests (minutes)", ",.2f"),
}


def smoothed(values: Sequence[float], weight: float) -> list[float]:
    """Return the exponential moving averages of a series, corrected for its short start.

    weight: in [0, 1). That of the last average against the next value; 0 changes nothing. Each
    average is over the values so far, with weights 1, weight, weight squared, ... back in time. A
    value that is not finite stays as it is and has no influence.
    """
    total = 0.0
    weights = 0.0
    averages = []
    for value in values:
        if not math.isfinite(value):
            averages.append(value)
            continue
        total = weight * total + value
        weights = weight * weights + 1
        averages.append(total / weights)
    return averages


def curves_chart(
    table: pd.DataFrame,
    coloured: Sequence[str],
    quantity: Quantity,
    course: Course,
    series: Sequence[Series],
    picked: Collection[str] = (),
) -> alt.Chart:
    """Draw the rows of `curves_table`.

    coloured: names of the runs with a colour of their own. picked: ids of those with thick lines.
    """
    title, number_format, axis_format = _TITLES[quantity]
    x_title, x_format = _COURSES[course]
    tooltip = [
        alt.Tooltip("run:N", title="Run"),
        alt.Tooltip("series:N", title="Series"),
        alt.Tooltip("x:Q", title=x_title, format=x_format),
        alt.Tooltip("value:Q", title=title, format=number_format),
        alt.Tooltip("raw:Q", title="Not smoothed", format=number_format),
    ]
    ticks = alt.Axis(format="~g", tickMinStep=0 if course == "time" else 1, grid=False)
    few = len(table) <= 400
    chart = alt.Chart(table).mark_line(point=alt.OverlayMarkDef(size=24 if few else 4))
    chart = chart.encode(
        x=alt.X("x:Q", title=x_title, axis=ticks, scale=alt.Scale(zero=False, nice=False)),
        y=alt.Y(
            "value:Q",
            title=title,
            scale=alt.Scale(zero=False),
            axis=alt.Axis(format=axis_format, labelFlush=False),
        ),
        detail="id:N",
        strokeDash=_dashes(series),
        tooltip=tooltip,
        **run_colour(coloured),
        **line_marks(picked),
    )
    words = " and ".join(_WORDS[name] for name in series).capitalize()
    heading = f"{words} {quantity} of {table['id'].nunique()} runs by {course}"
    return chart.properties(height=_HEIGHT + legend_height(coloured), title=heading)


def curves_table(
    epochs: Mapping[str, EpochRows],
    ends: Mapping[str, Sequence[float]],
    names: Mapping[str, str],
    quantity: Quantity,
    series: Sequence[Series],
    weight: float = 0.0,
) -> pd.DataFrame:
    """Return a row for each run, series and epoch: id, run, series, x, raw and value.

    epochs: the EpochEnd events of each run, by id. ends: likewise where each epoch ends along x, as
    `core.runs.comparison.course` gives it; NaN leaves an epoch out. names: the runs' names, by id.
    raw: the value before smoothing. Lines of many epochs are thinned evenly after it; their last
    epoch stays.
    """
    points: list[dict[str, Any]] = []
    most = max(_LEAST_POINTS, _MOST_POINTS // max(1, len(epochs) * len(series)))
    for run_id, rows in epochs.items():
        stride = math.ceil(len(rows) / most) or 1
        for name in series:
            raw = [float(row[f"{name}_{quantity}"]) for row in rows]
            line = list(zip(ends[run_id], raw, smoothed(raw, weight), strict=True))
            for x, before, value in line[::-stride][::-1]:
                if math.isnan(x):
                    continue
                point = {"id": run_id, "run": names[run_id], "series": name}
                points.append(point | {"x": x, "raw": before, "value": value})
    return pd.DataFrame(points, columns=["id", "run", "series", "x", "raw", "value"])


def _dashes(series: Sequence[Series]) -> alt.StrokeDash:
    scale = alt.Scale(domain=list(SERIES), range=_DASHES)
    if len(series) == 1:
        scale = alt.Scale(domain=list(series), range=_DASHES[:1])
    legend = alt.Legend(title=None, orient="top", symbolType="stroke", symbolStrokeWidth=2)
    return alt.StrokeDash("series:N", scale=scale, legend=legend if len(series) > 1 else None)
