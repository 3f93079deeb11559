"""Draws the accuracy of a pruned network without fine-tuning over the density, as it is measured.

Nothing here needs torch.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import altair as alt
import pandas as pd

from core.accuracy import interval_text, wilson_interval

if TYPE_CHECKING:
    from core.jobs.pruning_trial import TriedDensity

_HEIGHT = 320  # pixels
_GREY = "#8a938d"  # readable on the light page and on the dark one
_DASHES = [5, 4]
_COLUMNS = ["density", "accuracy", "low", "high", "interval", "images"]
_END = 1.03  # of the axis, so that a point at 100% is whole


def tried_table(points: "Iterable[TriedDensity]") -> pd.DataFrame:
    """Return a row for each density, ascending.

    Columns: density and accuracy in [0, 1]; low and high, the ends of the accuracy's 95% interval
    (Wilson), and the same as text; images, how many it was measured on.
    """
    rows = []
    for point in sorted(points):
        low, high = wilson_interval(point.accuracy, point.images)
        interval = f"{interval_text(point.accuracy, point.images)}%"
        rows.append((point.density, point.accuracy, low, high, interval, point.images))
    return pd.DataFrame(rows, columns=_COLUMNS)


def tried_chart(table: pd.DataFrame, chosen: float, before: float, chance: float) -> alt.LayerChart:
    """Draw the accuracy at each density with its interval, and mark the chosen density.

    table: the result of `tried_table`. chosen: the density in the form. before: that of the
    network before pruning, where the axis ends. chance: the accuracy of guessing. The axes do not
    depend on the table, so that a growing chart stays still.
    """
    scale_x = alt.Scale(domain=[0, _END * before], nice=False)
    axis_x = alt.Axis(format="~%", grid=False, labelFlush=False, tickCount=6)
    x = alt.X("density:Q", title="Density: weights kept", scale=scale_x, axis=axis_x)
    scale_y = alt.Scale(domain=[0, 1], nice=False)
    axis_y = alt.Axis(format="~%", labelFlush=False, tickCount=6)
    y = alt.Y("accuracy:Q", title="Accuracy without fine-tuning", scale=scale_y, axis=axis_y)
    tried = alt.Chart().encode(x=x, y=y, tooltip=_tooltip())
    bars = tried.mark_rule(strokeWidth=1.5, opacity=0.7).encode(y="low:Q", y2="high:Q")
    is_chosen = alt.datum.density == chosen
    points = tried.mark_point(filled=True, opacity=1).encode(
        size=alt.when(is_chosen).then(alt.value(150)).otherwise(alt.value(60)),
        shape=alt.when(is_chosen).then(alt.value("diamond")).otherwise(alt.value("circle")),
    )
    return alt.LayerChart(
        layer=[
            *_vertical_mark(chosen, "chosen", scale_x),
            *_horizontal_mark(chance, "guessing", scale_y),
            bars,
            tried.mark_line(strokeWidth=2),
            points,
        ],
        data=alt.NamedData("tried"),
        datasets={"tried": table.to_dict("records"), "once": [{}]},
    ).properties(height=_HEIGHT)


def tried_alt_text(table: pd.DataFrame) -> str:
    """Describe the chart for people who cannot see it."""
    texts = [f"{row.accuracy:.1%} at {row.density:.3g}" for row in table.itertuples()]
    return f"Accuracy without fine-tuning at {len(texts)} densities: {', '.join(texts)}."


def _vertical_mark(density: float, words: str, scale: alt.Scale) -> list[alt.Chart]:
    """Return a dashed line at a density, and words at its lower end."""
    place = alt.XDatum(density, scale=scale)
    rule = _once().mark_rule(color=_GREY, strokeDash=_DASHES)
    text = _once().mark_text(text=words, align="left", dx=5, dy=-8, color=_GREY)
    return [
        rule.encode(x=place, tooltip=alt.value(None)),
        text.encode(x=place, y=alt.value("height"), tooltip=alt.value(None)),
    ]


def _horizontal_mark(accuracy: float, words: str, scale: alt.Scale) -> list[alt.Chart]:
    """Return a dashed line at an accuracy, and words at its right end."""
    place = alt.YDatum(accuracy, scale=scale)
    rule = _once().mark_rule(color=_GREY, strokeDash=_DASHES)
    text = _once().mark_text(text=words, align="right", dy=-8, color=_GREY)
    return [
        rule.encode(y=place, tooltip=alt.value(None)),
        text.encode(y=place, x=alt.value("width"), tooltip=alt.value(None)),
    ]


def _once() -> alt.Chart:
    """Return a chart of one row without values, for what is drawn once."""
    return alt.Chart(alt.NamedData("once"))


def _tooltip() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("density:Q", title="Density", format=".3~%"),
        alt.Tooltip("accuracy:Q", title="Accuracy", format=".2%"),
        alt.Tooltip("interval:N", title="95% interval"),
        alt.Tooltip("images:Q", title="Training images", format=",d"),
    ]
