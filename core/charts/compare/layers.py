"""Draws one figure of every layer of several runs side by side."""

from collections.abc import Collection, Mapping, Sequence

import altair as alt
import pandas as pd

from core.charts.compare.colours import legend_height, run_colour
from core.charts.compare.picks import line_marks
from core.runs.comparison.layers import LAYER_METRICS, LayerFigures

_ROW = 24  # pixels for a layer
_AXIS = 100  # pixels, with the title


def layers_chart(
    table: pd.DataFrame, coloured: Sequence[str], name: str, picked: Collection[str] = ()
) -> alt.Chart:
    """Draw the rows of `layers_table` as a line for each run, from layer to layer.

    coloured: names of the runs with a colour of their own. name: the metric in `LAYER_METRICS`.
    picked: ids of the runs with thick lines.
    """
    metric = LAYER_METRICS[name]
    is_log = name in ("density", "bytes", "levels") and bool((table["value"] > 0).all())
    title = metric.title + (", log scale" if is_log else "")
    scale = alt.Scale(type="log" if is_log else "linear", zero=not is_log and name != "snr")
    tick_format = "~%" if name == "density" else "~s"
    x = alt.X("value:Q", title=title, scale=scale, axis=alt.Axis(format=tick_format, tickCount=6))
    order = table.sort_values("place")["layer"].unique().tolist()
    axis = alt.Axis(labelLimit=170, labelOverlap=False, grid=True)
    tooltip = [
        alt.Tooltip("run:N", title="Run"),
        alt.Tooltip("layer:N", title="Layer"),
        alt.Tooltip("value:Q", title=metric.title, format=metric.number_format),
    ]
    chart = alt.Chart(table).mark_line(point=alt.OverlayMarkDef(size=60), strokeWidth=1.5)
    chart = chart.encode(
        x=x,
        y=alt.Y("layer:N", sort=order, title=None, axis=axis),
        order="place:Q",
        tooltip=tooltip,
        **run_colour(coloured),
        **line_marks(picked),
    )
    layers = table["layer"].nunique()
    words = f"{metric.title} of {layers} layers of {table['id'].nunique()} runs"
    return chart.properties(height=_ROW * layers + _AXIS + legend_height(coloured), title=words)


def layers_table(
    layers: Mapping[str, Mapping[str, LayerFigures]], names: Mapping[str, str], name: str
) -> pd.DataFrame:
    """Return a row for each run and layer whose figure is known: id, run, layer, place and value.

    place: the layer's number, from 0, in the run with the most layers. Layers that it lacks follow.
    layers: the figures of each layer, by the id of the run and the name of the layer's parameter.
    names: the runs' names, by id. name: the metric in `LAYER_METRICS`.
    """
    places = _places(layers)
    rows = []
    for run_id, figures in layers.items():
        for layer, values in figures.items():
            row = {"id": run_id, "run": names[run_id], "layer": layer.removesuffix(".weight")}
            value = getattr(values, name)
            if value is not None:
                rows.append(row | {"place": places[layer], "value": value})
    return pd.DataFrame(rows, columns=["id", "run", "layer", "place", "value"])


def _places(layers: Mapping[str, Mapping[str, LayerFigures]]) -> dict[str, int]:
    """Return the number of each layer: in the run with the most layers, or else behind them."""
    by_length = sorted(layers.values(), key=len, reverse=True)
    names = dict.fromkeys(layer for figures in by_length for layer in figures)
    return {layer: place for place, layer in enumerate(names)}
