"""Draws runs and their ancestors as a forest from left to right: what was made from what."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import altair as alt
import pandas as pd

from core.charts.compare.colours import GREY
from core.charts.compare.forest import Place, forest_layout
from core.charts.compare.picks import RING, click_selection
from core.runs.comparison.differences import change_against_parent
from core.runs.comparison.figures import METRICS, Metric

if TYPE_CHECKING:
    from core.runs.comparison.compared import ComparedRun

_ROW = 38  # pixels between two rows, with room for a name above each node
_TIGHT_ROW = 31  # of a large map
_MANY_ROWS = 30
_AXIS = 80  # pixels for the title and the legend of the colour
_SIZE_LEGEND = 45  # pixels that it takes more than that of the colour
_SIZES = [40, 320]  # square pixels of the smallest node and of the largest


def map_chart(
    table: pd.DataFrame, colour: str, size: str | None = None, picked: Collection[str] = ()
) -> alt.LayerChart:
    """Draw the rows of `map_table`. A click on a node picks it.

    colour, size: the metrics in `METRICS` that give the nodes' colour and size; without a size all
    nodes have the same. picked: ids of the runs that are picked from the start.
    """
    columns = int(table["column"].max()) + 1
    rows = int(table["row"].max()) + 1
    x_scale = alt.Scale(domain=[-0.08, columns - 0.08], nice=False)
    y_scale = alt.Scale(domain=[rows - 0.5, -0.7], nice=False)
    base = alt.Chart(table).encode(
        x=alt.X("column:Q", axis=None, scale=x_scale), y=alt.Y("row:Q", axis=None, scale=y_scale)
    )
    nodes = _nodes(base, METRICS[colour], None if size is None else METRICS[size], picked)
    chart = alt.LayerChart(layer=[_edges(base), nodes, _names(base, columns)])
    title = f"Where {len(table)} runs come from"
    row = _ROW if rows <= _MANY_ROWS else _TIGHT_ROW
    legends = _AXIS if size is None else _AXIS + _SIZE_LEGEND
    return chart.properties(height=row * rows + legends, title=title)


def map_table(
    runs: "Sequence[ComparedRun]",
    chosen: "Sequence[ComparedRun]",
    colour: str,
    size: str | None = None,
) -> pd.DataFrame:
    """Return a row for each node.

    runs: the chosen runs and all their ancestors. id, run: id and name. column, row: its place.
    parent_column, parent_row: the place of its parent; its own without one. value, size: its
    figures of the metrics `colour` and `size`. recipe, accuracy, change: in words. chosen: whether
    it is a chosen run.
    """
    parents = {run.id: run.parent.id if run.parent else None for run in runs}
    places = forest_layout(parents)
    ids = {run.id for run in chosen}
    rows = []
    for run in runs:
        figures = {"value": _figure(run, colour), "size": _figure(run, size)}
        rows.append(_row(run, places) | figures | {"chosen": run.id in ids})
    return pd.DataFrame(rows)


def _figure(run: "ComparedRun", name: str | None) -> float | None:
    value = None if name is None else run.figures.value(name)
    return value if value is None or math.isfinite(value) else None


def _row(run: "ComparedRun", places: Mapping[str, Place]) -> dict[str, Any]:
    own = places[run.id]
    parent = places[run.parent.id] if run.parent and run.parent.id in places else own
    accuracy = run.figures.accuracy
    return {
        "id": run.id,
        "run": run.name,
        "column": own.column,
        "row": own.row,
        "parent_column": parent.column,
        "parent_row": parent.row,
        "recipe": run.recipe_text,
        "accuracy": "—" if accuracy is None else f"{accuracy:.2%}",
        "change": change_against_parent(run),
    }


def _edges(base: alt.Chart) -> alt.Chart:
    edges = base.transform_filter("datum.parent_column < datum.column")
    return edges.mark_rule(color=GREY, strokeWidth=1.5, opacity=0.6).encode(
        x2="parent_column:Q", y2="parent_row:Q"
    )


def _nodes(
    base: alt.Chart, colour: Metric, size: Metric | None, picked: Collection[str]
) -> alt.Chart:
    """Draw the nodes: a chosen run as a circle, an ancestor as a square."""
    scale = alt.Scale(type="log" if colour.is_log else "linear")
    legend = _legend(colour, gradientLength=150)
    filled = alt.Color("value:Q", scale=scale, legend=legend)
    selection = click_selection(picked)
    nodes = base.mark_point(filled=True, opacity=1, cursor="pointer")
    nodes = nodes.encode(
        color=alt.when(_is_known("value", colour)).then(filled).otherwise(alt.value("transparent")),
        shape=alt.when("datum.chosen").then(alt.value("circle")).otherwise(alt.value("square")),
        stroke=alt.when(selection).then(alt.value(RING)).otherwise(alt.value(GREY)),
        strokeWidth=alt.when(selection).then(alt.value(3.5)).otherwise(alt.value(1)),
        size=_node_size(size),
        tooltip=_tooltip(colour, size),
    )
    return nodes.add_params(selection)


def _node_size(metric: Metric | None) -> Any:
    """Return the area of a node, in square pixels: by the metric, or else by whether it is chosen.

    A node without a figure is as small as the smallest.
    """
    if metric is None:
        return alt.when("datum.chosen").then(alt.value(170)).otherwise(alt.value(90))
    scale = alt.Scale(type="log" if metric.is_log else "linear", range=_SIZES, zero=False)
    size = alt.Size(
        "size:Q",
        scale=scale,
        legend=_legend(metric, symbolType="circle", symbolStrokeWidth=1, tickCount=3),
    )
    return alt.when(_is_known("size", metric)).then(size).otherwise(alt.value(_SIZES[0]))


def _is_known(field: str, metric: Metric) -> str:
    """Return the Vega expression that is true where a scale has a place for the figure."""
    return f"isValid(datum.{field})" + (f" && datum.{field} > 0" if metric.is_log else "")


def _legend(metric: Metric, **more: Any) -> alt.Legend:
    return alt.Legend(
        title=metric.title, orient="bottom", format=metric.axis_format, titleLimit=320, **more
    )


def _tooltip(colour: Metric, size: Metric | None) -> list[alt.Tooltip]:
    """Return the run, its figures, its recipe and its change against the parent, each once."""
    figures = [alt.Tooltip("value:Q", title=colour.label, format=colour.number_format)]
    if size is not None and size != colour:
        figures.append(alt.Tooltip("size:Q", title=size.label, format=size.number_format))
    accuracy = METRICS["accuracy"]
    if accuracy not in (colour, size):
        figures.append(alt.Tooltip("accuracy:N", title=accuracy.label))
    return [
        alt.Tooltip("run:N", title="Run"),
        *figures,
        alt.Tooltip("recipe:N", title="Recipe"),
        alt.Tooltip("change:N", title="Against its parent"),
    ]


def _names(base: alt.Chart, columns: int) -> alt.Chart:
    limit = alt.ExprRef(f"width / {columns} - 16")
    names = base.mark_text(align="left", dx=-5, dy=-15, fontSize=11, color=GREY, limit=limit)
    return names.encode(text="run:N")
