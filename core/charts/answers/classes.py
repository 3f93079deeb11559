"""Draws how the accuracy on each class changes from one model to another."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import altair as alt
import pandas as pd

if TYPE_CHECKING:
    from core.inspect.behaviour.changes import Changes
    from core.inspect.behaviour.paired import PairedCounts

MOST_CLASSES = 30
"""A chart of more classes would push the rest of the page away."""

_ROW = 26  # pixels for a class
_AXIS = 70
_COLUMNS = [
    "class",
    "images",
    "first",
    "second",
    "change",
    "low",
    "high",
    "broken",
    "fixed",
    "sign",
]
_COLOURS = {"worse": "#d9731a", "not clear": "#8a938d", "better": "#3d84cc"}


def class_table(changes: "Changes", classes: Sequence[str]) -> pd.DataFrame:
    """Return a row for each class that has images, the one that lost most first.

    first, second: accuracies in percent. change: of the accuracy, in percentage points. low, high:
    its 95% interval. sign: "worse" or "better" if McNemar's test calls it clear, else "not clear".
    """
    rows = [_row(classes[label], counts) for label, counts in changes.counts_by_class.items()]
    table = pd.DataFrame(rows, columns=_COLUMNS)
    return table.sort_values("change", kind="stable", ignore_index=True)


def _row(name: str, counts: "PairedCounts") -> dict[str, Any]:
    low, high = counts.difference_interval
    sign = "not clear"
    if counts.is_clear:
        sign = "worse" if counts.difference < 0 else "better"
    return {
        "class": name,
        "images": counts.images,
        "first": 100 * counts.first_accuracy,
        "second": 100 * counts.second_accuracy,
        "change": 100 * counts.difference,
        "low": 100 * low,
        "high": 100 * high,
        "broken": counts.broken,
        "fixed": counts.fixed,
        "sign": sign,
    }


def most_changed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `class_table` that change most, at most `MOST_CLASSES`, in its order."""
    if len(table) <= MOST_CLASSES:
        return table
    order = table["change"].abs().sort_values(ascending=False, kind="stable").index
    return table.loc[sorted(order[:MOST_CLASSES])]


def class_chart(table: pd.DataFrame) -> alt.LayerChart:
    """Draw the change of each class as a point, with its interval, in the order of the rows."""
    y = alt.Y(
        "class:N",
        sort=table["class"].tolist(),
        title=None,
        axis=alt.Axis(labelLimit=130, ticks=False, labelOverlap=False, labelFlush=False),
    )
    tooltip = [
        alt.Tooltip("class:N", title="Class"),
        alt.Tooltip("change:Q", title="Change (points)", format="+.1f"),
        alt.Tooltip("low:Q", title="95% interval, from", format="+.1f"),
        alt.Tooltip("high:Q", title="to", format="+.1f"),
        alt.Tooltip("images:Q", title="Images"),
        alt.Tooltip("broken:Q", title="Broken"),
        alt.Tooltip("fixed:Q", title="Fixed"),
    ]
    colour = alt.Color(
        "sign:N",
        scale=alt.Scale(domain=list(_COLOURS), range=list(_COLOURS.values())),
        legend=alt.Legend(title=None, orient="top"),
    )
    x = alt.X(
        "low:Q", title="Change of the accuracy (percentage points)", axis=alt.Axis(tickCount=8)
    )
    base = alt.Chart(table).encode(y=y, tooltip=tooltip, color=colour)
    intervals = base.mark_rule(strokeWidth=2).encode(x=x, x2="high:Q")
    points = base.mark_circle(size=80, opacity=1).encode(x="change:Q")
    zero = alt.Chart().mark_rule(strokeDash=[4, 4], color="#8a938d").encode(x=alt.datum(0))
    chart = alt.LayerChart(layer=[zero, intervals, points])
    return chart.properties(height=_ROW * len(table) + _AXIS)


def class_alt_text(table: pd.DataFrame) -> str:
    """Describe the chart for people who cannot see it."""
    worst = ", ".join(
        f"{row['class']} ({row['change']:+.1f})" for row in table.head(3).to_dict("records")
    )
    return f"Change of the accuracy of each of {len(table)} classes, in points: {worst} first."
