"""The fraction of weights that each layer keeps, before a run and after its pruning."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import altair as alt
import pandas as pd

if TYPE_CHECKING:
    from core.forecast.pruning import PrunedLayer

Pruning = Literal["global", "layerwise", "erk", "uniform+"]

PRUNINGS: list[Pruning] = ["global", "layerwise", "erk", "uniform+"]
"""The ways of pruning, in the order of their colours: global is blue, layerwise is orange."""

PrunedNetworks = Mapping[Pruning, "Sequence[PrunedLayer]"]
"""The layers of the network pruned in each way, the chosen way first."""

_ROW = 22  # pixels for a layer
_AXIS = 60  # pixels
_LEGEND = 45  # pixels
_SMALL_DENSITY = 0.05
"""If half of the layers keep less than this, the axis is logarithmic."""

_LABEL_COLOUR = "#76807a"  # readable on the light page and on the dark one
_ROOM_FOR_LABELS = 1.18  # the end of the linear axis, right of 100%


def density_chart(
    layers: Mapping[str, Sequence[int]], pruning: Pruning = "global"
) -> alt.LayerChart:
    """Draw the density of each layer of a pruned network, as horizontal bars in network order.

    `layers` maps a parameter's name to its kept and total weights, as in the Pruned event.
    """
    table = density_table(layers).assign(pruning=pruning)
    tooltip = [
        alt.Tooltip("layer:N", title="Layer"),
        alt.Tooltip("density:Q", title="Kept", format=".3~p"),
        alt.Tooltip("kept:Q", title="Weights kept", format=",d"),
        alt.Tooltip("weights:Q", title="of", format=",d"),
    ]
    base = alt.Chart(_with_label_positions(table)).encode(y=_layers_axis(), tooltip=tooltip)
    return _bars_with_values(base, table, legend=None)


def density_table(layers: Mapping[str, Sequence[int]]) -> pd.DataFrame:
    """Return a row for each layer, with columns layer, kept, weights and density."""
    rows = [
        {
            "layer": name.removesuffix(".weight"),
            "kept": kept,
            "weights": weights,
            "density": kept / weights,
        }
        for name, (kept, weights) in layers.items()
    ]
    return pd.DataFrame(rows, columns=["layer", "kept", "weights", "density"])


def density_forecast_chart(networks: PrunedNetworks) -> alt.LayerChart:
    """Draw the density of each layer, the chosen way of pruning as bars, the other one as ticks."""
    table = density_forecast_table(networks)
    tooltip = [
        alt.Tooltip("layer:N", title="Layer"),
        alt.Tooltip("pruning:N", title="Pruning"),
        alt.Tooltip("kept:Q", title="Kept weights", format=","),
        alt.Tooltip("weights:Q", title="of", format=","),
        alt.Tooltip("density:Q", title="Density", format=".3~p"),
        alt.Tooltip("macs:Q", title="Multiply-adds", format=","),
    ]
    legend = alt.Legend(orient="top", values=list(networks))
    chosen, *others = networks
    base = alt.Chart(_with_label_positions(table)).encode(y=_layers_axis(), tooltip=tooltip)
    chart = _bars_with_values(
        base.transform_filter(alt.datum.pruning == chosen), table, legend=legend
    )
    for other in others:
        ticks = base.transform_filter(alt.datum.pruning == other)
        ticks = ticks.mark_tick(thickness=3, opacity=1)
        chart += ticks.encode(x=_density_axis(table), color=_pruning_colour(legend))
    return chart


def density_forecast_table(networks: PrunedNetworks) -> pd.DataFrame:
    """Return a row for each way and layer: layer, pruning, kept, weights, density and macs."""
    rows = [
        {
            "layer": layer.name.removesuffix(".weight"),
            "pruning": way,
            "kept": layer.kept,
            "weights": layer.weights,
            "density": layer.density,
            "macs": layer.macs,
        }
        for way, layers in networks.items()
        for layer in layers
    ]
    return pd.DataFrame(rows)


def density_forecast_alt_text(networks: PrunedNetworks) -> str:
    """Describe the chart for people who cannot see it."""
    sentences = []
    for way, layers in networks.items():
        low = min(layers, key=lambda layer: layer.density)
        high = max(layers, key=lambda layer: layer.density)
        sentences.append(
            f"{way} pruning keeps from {100 * low.density:.3g}% ({low.name})"
            f" to {100 * high.density:.3g}% ({high.name})"
        )
    count = len(next(iter(networks.values())))
    return f"Weights kept in each of {count} layers: {'; '.join(sentences)}."


# -- parts of the charts --


def _bars_with_values(
    base: alt.Chart, table: pd.DataFrame, legend: alt.Legend | None
) -> alt.LayerChart:
    """Draw a bar for each row of `base`, and its density right of it and of the layer's tick."""
    bars = base.mark_bar(opacity=0.85, height={"band": 0.75}, clip=True).encode(
        x=_density_axis(table),
        x2=alt.X2Datum(_least_on_axis(table)),
        color=_pruning_colour(legend),
    )
    labels = base.mark_text(align="left", dx=4, fontSize=11, color=_LABEL_COLOUR).encode(
        x="label_at:Q", text=alt.Text("density:Q", format=".3~p")
    )
    height = _ROW * table["layer"].nunique() + _AXIS + (_LEGEND if legend else 0)
    return (bars + labels).properties(height=height)


def _with_label_positions(table: pd.DataFrame) -> pd.DataFrame:
    """Add the column label_at: the greatest density of the layer, or the start of the axis."""
    greatest = table.groupby("layer")["density"].transform("max")
    return table.assign(label_at=greatest.clip(lower=_least_on_axis(table)))


def _layers_axis() -> alt.Y:
    axis = alt.Axis(labelLimit=200, labelOverlap=False, labelFlush=False, ticks=False, domain=False)
    return alt.Y("layer:N", sort=None, title=None, axis=axis)


def _density_axis(table: pd.DataFrame) -> alt.X:
    """Return an axis that always reaches to 100%, so that the bars of two runs can be compared."""
    start = _least_on_axis(table)
    if not start:
        axis = alt.Axis(format="~%", values=[0, 0.25, 0.5, 0.75, 1], labelFlush=False)
        scale = alt.Scale(domain=[0, _ROOM_FOR_LABELS], nice=False)
        return alt.X("density:Q", title="Weights kept", scale=scale, axis=axis)
    decades = [10.0**power for power in range(round(math.log10(start)), 1)]
    axis = alt.Axis(format="~%", values=decades, labelFlush=False)
    scale = alt.Scale(type="log", domain=[start, start ** (1 - _ROOM_FOR_LABELS)], nice=False)
    return alt.X("density:Q", title="Weights kept, log scale", scale=scale, axis=axis)


def _least_on_axis(table: pd.DataFrame) -> float:
    """Return where the axis starts: 0, or a power of ten where most densities are small."""
    densities = table["density"]
    positive = densities[densities > 0]
    if positive.empty or densities.median() >= _SMALL_DENSITY:
        return 0.0
    return float(10.0 ** math.floor(math.log10(positive.min()) - 1e-9))


def _pruning_colour(legend: alt.Legend | None) -> alt.Color:
    scale = alt.Scale(domain=PRUNINGS)
    return alt.Color("pruning:N", title=None, scale=scale, legend=legend)
