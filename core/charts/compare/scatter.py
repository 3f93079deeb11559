"""Draws two figures of each run as a point, with the Pareto frontier and the level of guessing."""

from collections.abc import Collection
from typing import Any

import altair as alt
import pandas as pd

from core.charts.compare.colours import GREY
from core.charts.compare.picks import RING, brush_selection, click_selection
from core.charts.compare.points import Axis
from core.runs.comparison.compared import KINDS

_HEIGHT = 460
_ROOM = 0.06  # of an axis, between its ends and the points
_NEAR = 0.25  # of an axis: a chance level that is farther below the points is only told


def scatter_chart(
    table: pd.DataFrame,
    x: Axis,
    y: Axis,
    chance: float | None = None,
    picked: Collection[str] = (),
) -> alt.LayerChart:
    """Draw the rows of `scatter_table`. A click on a point picks it, a rectangle those in it.

    chance: the accuracy of guessing, which is drawn where an axis shows the accuracy. picked: ids
    of the runs that are picked from the start.
    """
    base = alt.Chart(table).encode(
        x=_channel(alt.X, table, "x", x, chance), y=_channel(alt.Y, table, "y", y, chance)
    )
    clicks = click_selection(picked)
    ring = alt.when(clicks).then(alt.value(3)).otherwise(alt.value(0))
    points = _points(base, table, x, y).encode(strokeWidth=ring)
    layers: list[Any] = [
        *_chance_rules(table, x, y, chance),
        *_error_bars(base, x, y),
        _frontier_line(base, x),
        points.add_params(clicks, brush_selection()),
        _numbers(base),
    ]
    title = f"{y.metric.label} against {x.metric.label.lower()} of {len(table)} runs"
    return alt.LayerChart(layer=layers).properties(height=_HEIGHT, title=title)


# -- axes --


def _channel(
    channel: Any, table: pd.DataFrame, letter: str, axis: Axis, chance: float | None
) -> Any:
    title = axis.metric.title + (", log scale" if axis.is_log else "")
    if axis.name == "accuracy" and chance and not _is_near(table, letter, chance):
        title += f" (guessing gets {100 * chance:.3g}%, below the axis)"
    low, high = _domain(table, letter, axis, chance)
    scale = alt.Scale(
        type="log" if axis.is_log else "linear",
        domain=[low, high],
        nice=False,
        zero=False,  # or the error bars, whose layer has no domain of its own, add a zero
    )
    ticks = alt.Axis(format=axis.metric.axis_format, tickCount=6, labelFlush=False)
    return channel(f"{letter}:Q", title=title, scale=scale, axis=ticks)


def _domain(
    table: pd.DataFrame, letter: str, axis: Axis, chance: float | None
) -> tuple[float, float]:
    """Return the ends of an axis, with room around the points and their error bars."""
    values = _values(table, letter)
    if axis.name == "accuracy" and chance and _is_near(table, letter, chance):
        values.append(chance)
    if not values:
        return (1.0, 10.0)
    low, high = min(values), max(values)
    if axis.is_log:
        factor = max((high / low) ** _ROOM, 1.05)
        return low / factor, high * factor
    room = (high - low) * _ROOM or abs(high) * _ROOM or 1.0
    return low - room, high + room


def _values(table: pd.DataFrame, letter: str) -> list[float]:
    columns = (letter, f"{letter}_low", f"{letter}_high")
    return [float(value) for column in columns for value in table[column].dropna()]


def _is_near(table: pd.DataFrame, letter: str, chance: float) -> bool:
    """Whether the chance level is so near to the points that the axis reaches to it."""
    values = _values(table, letter)
    if not values:
        return False
    low, high = min(values), max(values)
    return chance >= low - _NEAR * (high - low)


# -- layers --


def _points(base: alt.Chart, table: pd.DataFrame, x: Axis, y: Axis) -> alt.Chart:
    kinds = list(KINDS.values())
    drawn = [kind for kind in kinds if kind in set(table["kind"])]
    legend = alt.Legend(title=None, orient="bottom", symbolStrokeWidth=0, values=drawn)
    color = alt.Color("kind:N", scale=alt.Scale(domain=kinds), legend=legend)
    tooltip = [
        alt.Tooltip("run:N", title="Run"),
        alt.Tooltip("x:Q", title=x.metric.label, format=x.metric.number_format),
        alt.Tooltip("y:Q", title=y.metric.label, format=y.metric.number_format),
        alt.Tooltip("interval:N", title="95% interval"),
        alt.Tooltip("on:N", title="On the Pareto frontier"),
        alt.Tooltip("settings:N", title="Settings"),
        alt.Tooltip("change:N", title="Against its parent"),
    ]
    marks = base.mark_circle(size=110, opacity=0.9, cursor="pointer", stroke=RING)
    return marks.encode(color=color, tooltip=tooltip)


def _frontier_line(base: alt.Chart, x: Axis) -> alt.Chart:
    """Draw the best that can be had: at most this much x, or at least this much of it."""
    step: Any = "step-before" if x.metric.more_is_better else "step-after"
    line = base.transform_filter(alt.datum.place > 0)
    return line.mark_line(interpolate=step, color=GREY, strokeWidth=1.5).encode(
        order=alt.Order("place:Q")
    )


def _numbers(base: alt.Chart) -> alt.Chart:
    text = base.transform_filter(alt.datum.place > 0)
    return text.mark_text(dy=-13, dx=-9, fontSize=11, color=GREY).encode(text="number:N")


def _error_bars(base: alt.Chart, x: Axis, y: Axis) -> list[alt.Chart]:
    bars = []
    rule: dict[str, Any] = {"color": GREY, "strokeWidth": 1.5, "opacity": 0.8}
    if x.name == "accuracy":
        bars.append(base.mark_rule(**rule).encode(x=alt.X("x_low:Q"), x2="x_high:Q"))
    if y.name == "accuracy":
        bars.append(base.mark_rule(**rule).encode(y=alt.Y("y_low:Q"), y2="y_high:Q"))
    return bars


def _chance_rules(table: pd.DataFrame, x: Axis, y: Axis, chance: float | None) -> list[alt.Chart]:
    """Draw a dashed line at the accuracy of guessing, where an axis shows accuracy near it."""
    rules: list[alt.Chart] = []
    for letter, axis in (("x", x), ("y", y)):
        if axis.name == "accuracy" and chance and _is_near(table, letter, chance):
            rules.append(_chance_rule(letter, chance))
            rules.append(_chance_label(letter, chance))
    return rules


def _chance_rule(letter: str, chance: float) -> alt.Chart:
    data = pd.DataFrame({letter: [chance], "text": [f"guessing gets {100 * chance:.3g}%"]})
    rule = alt.Chart(data).mark_rule(color=GREY, strokeDash=[5, 4], strokeWidth=1.5)
    channel = alt.X("x:Q") if letter == "x" else alt.Y("y:Q")
    return rule.encode(channel, tooltip=[alt.Tooltip("text:N", title="Chance level")])


def _chance_label(letter: str, chance: float) -> alt.Chart:
    """Write "guessing" at the dashed line: above its right end, or right of its upper end."""
    label = alt.Chart(pd.DataFrame({letter: [chance], "text": ["guessing"]}))
    if letter == "x":
        marks = label.mark_text(color=GREY, align="left", dx=5, dy=8, fontSize=11)
        return marks.encode(x="x:Q", y=alt.value(0), text="text:N")
    marks = label.mark_text(color=GREY, align="right", dx=-4, dy=-8, fontSize=11)
    return marks.encode(x=alt.value("width"), y="y:Q", text="text:N")
