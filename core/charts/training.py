"""The course of a training, epoch by epoch: charts of its EpochEnd events."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from core.accuracy import interval_text

MOST_POINTS_PER_LINE = 1000
"""More points cannot be told apart, and every update of a live chart sends all of them."""

CURVE_HEIGHT = 260
"""Pixels of the charts of loss and accuracy."""

_SMALL_HEIGHT = 180
_DASHES = [[1, 0], [6, 3], [2, 2]]  # of training, test and validation

EpochRows = list[dict[str, Any]]
"""EpochEnd events as plain data, as `RunStore.epochs` returns them."""


def loss_chart(rows: EpochRows, epochs: int) -> alt.Chart:
    """Draw the cross entropy in nats of training, test and validation over the epochs."""
    return _train_and_test_chart(rows, epochs, "loss", "Cross entropy (nats)", ".4f", "~g")


def accuracy_chart(
    rows: EpochRows,
    epochs: int,
    images: Mapping[str, int] | None = None,
    from_zero: bool = False,
) -> alt.Chart:
    """Draw the fraction of right answers in training, test and validation over the epochs.

    images: the numbers of images of the series "test" and "validation". With them, the tooltips
    have the 95% interval of each accuracy. from_zero: whether the axis reaches from 0 to 1, so that
    two charts can be compared.
    """
    chart = _train_and_test_chart(rows, epochs, "accuracy", "Accuracy", ".2%", "~%")
    if from_zero:
        chart.encoding.y.scale = alt.Scale(domain=[0, 1])
    if not images:
        return chart
    for point in chart.datasets["epochs"]:
        count = images.get(point["series"])
        point["interval"] = f"{interval_text(point['value'], count)}%" if count else "—"
    interval = alt.Tooltip("interval:N", title="95% interval")
    return chart.encode(tooltip=[*chart.encoding.tooltip, interval])


def batch_loss_chart(losses: Sequence[tuple[float, float]]) -> alt.Chart:
    """Draw the mean training loss of each epoch so far, batch by batch.

    losses: pairs of the epochs that are done, with their fraction, and a loss in nats.
    """
    rows = [{"epochs": place, "loss": loss} for place, loss in losses]
    # A fixed name lets a browser move the line instead of drawing the chart anew.
    chart = alt.Chart(alt.NamedData("batches"), datasets={"batches": rows})
    x = alt.X(
        "epochs:Q",
        title="Epochs done",
        scale=alt.Scale(zero=False, nice=False),
        axis=alt.Axis(format="~g", tickCount=6, grid=False, labelFlush=False),
    )
    y = alt.Y(
        "loss:Q",
        title="Training loss (nats)",
        scale=alt.Scale(zero=False),
        axis=alt.Axis(format="~g", labelFlush=False),
    )
    tooltip = [
        alt.Tooltip("epochs:Q", title="Epochs done", format=".2f"),
        alt.Tooltip("loss:Q", title="Training loss (nats)", format=".4f"),
    ]
    return chart.mark_line().encode(x=x, y=y, tooltip=tooltip).properties(height=_SMALL_HEIGHT)


def learning_rate_chart(rows: EpochRows, epochs: int) -> alt.Chart:
    """Draw the learning rate of each epoch's last step."""
    table = _table(rows, {"lr": "lr"})
    return _line_chart(table, epochs, "Learning rate", ".3~g", "~g", _SMALL_HEIGHT)


def speed_chart(rows: EpochRows, epochs: int) -> alt.Chart:
    """Draw the number of training images per second."""
    table = _table(rows, {"images_per_second": "speed"})
    return _line_chart(table, epochs, "Images a second", ",.0f", "~s", _SMALL_HEIGHT)


def density_course_chart(rows: EpochRows, epochs: int) -> alt.Chart:
    """Draw the fraction of the weights that is left at the end of each epoch."""
    table = _table(rows, {"density": "density"})
    return _line_chart(table, epochs, "Weights left", ".3~%", "~%", _SMALL_HEIGHT)


def _train_and_test_chart(
    rows: EpochRows, epochs: int, quantity: str, title: str, tooltip_format: str, axis_format: str
) -> alt.Chart:
    columns = {f"train_{quantity}": "train", f"test_{quantity}": "test"}
    if rows and rows[-1].get(f"validation_{quantity}") is not None:
        columns[f"validation_{quantity}"] = "validation"
    table = _table(rows, columns)
    series = list(columns.values())
    chart = _line_chart(table, epochs, title, tooltip_format, axis_format, CURVE_HEIGHT)
    legend = alt.Legend(title=None, orient="top", symbolType="stroke", symbolStrokeWidth=3)
    dashes = alt.Scale(domain=series, range=_DASHES[: len(series)])
    return chart.encode(
        color=alt.Color("series:N", scale=alt.Scale(domain=series), legend=legend),
        strokeDash=alt.StrokeDash("series:N", scale=dashes, legend=legend),
    )


def _line_chart(
    table: pd.DataFrame, epochs: int, title: str, tooltip_format: str, axis_format: str, height: int
) -> alt.Chart:
    """Draw a line for each series. The axis spans all `epochs`, so that it does not change."""
    x = alt.X(
        "epoch:Q",
        title="Epoch",
        scale=alt.Scale(domain=[1, max(2, epochs)], nice=False),
        axis=alt.Axis(format="d", tickMinStep=1, grid=False, labelFlush=False),
    )
    y = alt.Y(
        "value:Q",
        title=title,
        scale=alt.Scale(zero=False),
        axis=alt.Axis(format=axis_format, labelFlush=False),
    )
    tooltip = [
        alt.Tooltip("epoch:Q", title="Epoch"),
        alt.Tooltip("series:N", title="Series"),
        alt.Tooltip("value:Q", title=title, format=tooltip_format),
    ]
    # By default Altair names the data by its hash, and a browser draws a changed chart anew. With a
    # fixed name it moves the lines.
    chart = alt.Chart(alt.NamedData("epochs"), datasets={"epochs": table.to_dict("records")})
    point = alt.OverlayMarkDef(size=24 if epochs <= 100 else 4)
    chart = chart.mark_line(point=point, strokeWidth=2)
    return chart.encode(x=x, y=y, tooltip=tooltip).properties(height=height)


def _table(rows: EpochRows, columns: dict[str, str]) -> pd.DataFrame:
    """Return a row for each epoch and series: epoch, series and value.

    `columns` maps the name of a figure to the name of its series. Epochs are thinned evenly, and
    the last one is always among them.
    """
    stride = math.ceil(len(rows) / MOST_POINTS_PER_LINE) or 1
    thinned = rows[::-stride][::-1]
    points = [
        (row["epoch"], series, row[column]) for row in thinned for column, series in columns.items()
    ]
    table = pd.DataFrame(points, columns=["epoch", "series", "value"])
    return table.astype({"epoch": int, "value": float})
