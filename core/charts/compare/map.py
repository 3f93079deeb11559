"""Draws runs and their ancestors as a forest from left to right: what was made from what."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import altair as alt
import pandas as pd

from core.charts.compare.colours import GREY
from core.runs.comparison import change_against_parent
from core.runs.figures import METRICS, Metric

if TYPE_CHECKING:
    from core.runs.comparison import ComparedRun

_ROW = 38  # pixels between two rows, with room for a name above each node
_TIGHT_ROW = 31  # of a large map
_MANY_ROWS = 30
_AXIS = 70  # pixels for the title and the legend


class Place(NamedTuple):
    """The place of a node. column: distance from its root. row: counted from the top."""

    column: int
    row: float


def forest_layout(parents: Mapping[str, str | None]) -> dict[str, Place]:
    """Return the place of each node of a forest, so that children are right of their parents.

    parents: the parent of each node. A parent that is no node itself makes the node a root. Leaves
    get a row each, in the order of `parents`, and a parent is in the middle of its children. So no
    two nodes are nearer to each other than one row or one column. Of nodes in a circle, which only
    a damaged file has, the first one becomes a root.
    """
    parents = _without_circles(parents)
    children: dict[str | None, list[str]] = {}
    for node, parent in parents.items():
        children.setdefault(parent, []).append(node)
    places: dict[str, Place] = {}
    next_row = 0
    waiting = [(root, 0, False) for root in reversed(children.get(None, []))]
    while waiting:
        node, column, is_ready = waiting.pop()
        below = children.get(node, [])
        if below and not is_ready:
            waiting.append((node, column, True))
            waiting += [(child, column + 1, False) for child in reversed(below)]
        elif below:
            middle = (places[below[0]].row + places[below[-1]].row) / 2
            places[node] = Place(column, middle)
        else:
            places[node] = Place(column, next_row)
            next_row += 1
    return places


def _without_circles(parents: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the parents, None for one that is no node and for the first node of a circle."""
    known = {node: parent if parent in parents else None for node, parent in parents.items()}
    for node in known:
        ancestor = known[node]
        seen = {node}
        while ancestor is not None and ancestor not in seen:
            seen.add(ancestor)
            ancestor = known[ancestor]
        if ancestor == node:
            known[node] = None
    return known


def map_chart(table: pd.DataFrame, name: str) -> alt.LayerChart:
    """Draw the rows of `map_table`. name: the metric in `METRICS` that gives the colour."""
    metric = METRICS[name]
    columns = int(table["column"].max()) + 1
    rows = int(table["row"].max()) + 1
    x_scale = alt.Scale(domain=[-0.08, columns - 0.08], nice=False)
    y_scale = alt.Scale(domain=[rows - 0.5, -0.7], nice=False)
    base = alt.Chart(table).encode(
        x=alt.X("column:Q", axis=None, scale=x_scale), y=alt.Y("row:Q", axis=None, scale=y_scale)
    )
    chart = alt.LayerChart(layer=[_edges(base), _nodes(base, metric), _names(base, columns)])
    title = f"Where {len(table)} runs come from"
    row = _ROW if rows <= _MANY_ROWS else _TIGHT_ROW
    return chart.properties(height=row * rows + _AXIS, title=title)


def map_table(
    runs: "Sequence[ComparedRun]", chosen: "Sequence[ComparedRun]", name: str
) -> pd.DataFrame:
    """Return a row for each node.

    runs: the chosen runs and all their ancestors. id, run: id and name. column, row: its place.
    parent_column, parent_row: the place of its parent; its own without one. value: its figure of
    the metric `name`. recipe, accuracy, change: in words. chosen: whether it is a chosen run.
    """
    parents = {run.id: run.parent.id if run.parent else None for run in runs}
    places = forest_layout(parents)
    ids = {run.id for run in chosen}
    rows = [_row(run, places, name) | {"chosen": run.id in ids} for run in runs]
    return pd.DataFrame(rows)


def _row(run: "ComparedRun", places: Mapping[str, Place], name: str) -> dict[str, Any]:
    own = places[run.id]
    parent = places[run.parent.id] if run.parent and run.parent.id in places else own
    value = run.figures.value(name)
    accuracy = run.figures.accuracy
    return {
        "id": run.id,
        "run": run.name,
        "column": own.column,
        "row": own.row,
        "parent_column": parent.column,
        "parent_row": parent.row,
        "value": value if value is None or math.isfinite(value) else None,
        "recipe": run.recipe_text,
        "accuracy": "—" if accuracy is None else f"{accuracy:.2%}",
        "change": change_against_parent(run),
    }


def _edges(base: alt.Chart) -> alt.Chart:
    edges = base.transform_filter("datum.parent_column < datum.column")
    return edges.mark_rule(color=GREY, strokeWidth=1.5, opacity=0.6).encode(
        x2="parent_column:Q", y2="parent_row:Q"
    )


def _nodes(base: alt.Chart, metric: Metric) -> alt.Chart:
    """Draw the nodes: a chosen run as a large circle, an ancestor as a small square."""
    legend = alt.Legend(
        title=metric.title,
        orient="bottom",
        format=metric.axis_format,
        gradientLength=220,
        titleLimit=320,
    )
    scale = alt.Scale(type="log" if metric.is_log else "linear")
    is_known = "isValid(datum.value)" + (" && datum.value > 0" if metric.is_log else "")
    colour = alt.Color("value:Q", scale=scale, legend=legend)
    tooltip = [
        alt.Tooltip("run:N", title="Run"),
        alt.Tooltip("value:Q", title=metric.label, format=metric.number_format),
        alt.Tooltip("accuracy:N", title="Test accuracy"),
        alt.Tooltip("recipe:N", title="Recipe"),
        alt.Tooltip("change:N", title="Against its parent"),
    ]
    nodes = base.mark_point(filled=True, opacity=1, stroke=GREY, strokeWidth=1)
    return nodes.encode(
        color=alt.when(is_known).then(colour).otherwise(alt.value("transparent")),
        shape=alt.when("datum.chosen").then(alt.value("circle")).otherwise(alt.value("square")),
        size=alt.when("datum.chosen").then(alt.value(170)).otherwise(alt.value(90)),
        tooltip=tooltip,
    )


def _names(base: alt.Chart, columns: int) -> alt.Chart:
    limit = alt.ExprRef(f"width / {columns} - 16")
    names = base.mark_text(align="left", dx=-5, dy=-14, fontSize=11, color=GREY, limit=limit)
    return names.encode(text="run:N")
