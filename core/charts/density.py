"""The fraction of weights that each layer keeps, before a run and after its pruning."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import altair as alt
import pandas as pd

if TYPE_CHECKING:
    from core.forecast.pruning import PrunedLayer

MOST_NAMED_LAYERS = 24
"""With more layers, their names do not fit below the bars."""

_FORECAST_HEIGHT = 300

PrunedNetworks = Mapping[str, "Sequence[PrunedLayer]"]
"""The layers of the network pruned in each way: "global" or "layerwise", the chosen way first."""


def density_chart(layers: Mapping[str, Sequence[int]]) -> alt.Chart:
    """Draw the density of each layer of a pruned network, as horizontal bars in network order.

    `layers` maps a parameter's name to its kept and total weights, as in the Pruned event.
    """
    y = alt.Y("layer:N", sort=None, title=None, axis=alt.Axis(labelLimit=200, labelOverlap=False))
    x = alt.X(
        "share:Q",
        title="Weights kept",
        axis=alt.Axis(format="~%", tickCount=5),
        scale=alt.Scale(domainMin=0),
    )
    tooltip = [
        alt.Tooltip("layer:N", title="Layer"),
        alt.Tooltip("share:Q", title="Kept", format=".2%"),
        alt.Tooltip("kept:Q", title="Weights kept", format=",d"),
        alt.Tooltip("total:Q", title="of", format=",d"),
    ]
    chart = alt.Chart(density_table(layers)).mark_bar().encode(y=y, x=x, tooltip=tooltip)
    return chart.properties(height=alt.Step(18))


def density_table(layers: Mapping[str, Sequence[int]]) -> pd.DataFrame:
    """Return a row for each layer, with columns layer, kept, total and share."""
    rows = [
        {
            "layer": name.removesuffix(".weight"),
            "kept": kept,
            "total": total,
            "share": kept / total,
        }
        for name, (kept, total) in layers.items()
    ]
    return pd.DataFrame(rows, columns=["layer", "kept", "total", "share"])


def density_forecast_chart(networks: PrunedNetworks) -> alt.LayerChart:
    """Draw the density of each layer, the chosen way of pruning as bars, the other one as ticks.

    The axis is a square root, so that a layer of 1% can be told from an empty one.
    """
    table = density_forecast_table(networks)
    has_names = table["layer"].nunique() <= MOST_NAMED_LAYERS
    x = alt.X(
        "layer:N",
        sort=None,
        title=None if has_names else "Layers, from input to output (names on hover)",
        axis=alt.Axis(labels=has_names, ticks=has_names, labelAngle=-40, labelLimit=130),
    )
    y = alt.Y(
        "density:Q",
        title="Density (square-root scale)",
        axis=alt.Axis(format="~%", values=[0, 0.01, 0.05, 0.1, 0.25, 0.5, 1], labelOverlap=False),
        scale=alt.Scale(type="sqrt", domain=[0, 1]),
    )
    legend = alt.Legend(orient="top")
    color = alt.Color("pruning:N", title=None, sort=list(networks), legend=legend)
    tooltip = [
        alt.Tooltip("layer:N", title="Layer"),
        alt.Tooltip("pruning:N", title="Pruning"),
        alt.Tooltip("kept:Q", title="Kept weights", format=","),
        alt.Tooltip("weights:Q", title="of", format=","),
        alt.Tooltip("density:Q", title="Density", format=".3%"),
        alt.Tooltip("macs:Q", title="Multiply-adds", format=","),
    ]
    base = alt.Chart(table).encode(x=x, y=y, color=color, tooltip=tooltip)
    chosen, *others = networks
    bars = base.transform_filter(alt.datum.pruning == chosen).mark_bar(opacity=0.85)
    ticks = [
        base.transform_filter(alt.datum.pruning == other).mark_tick(thickness=3, opacity=1)
        for other in others
    ]
    return alt.LayerChart(layer=[bars, *ticks]).properties(height=_FORECAST_HEIGHT)


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
            f"{way} pruning keeps from {low.density:.2%} ({low.name}) to {high.density:.2%}"
            f" ({high.name})"
        )
    count = len(next(iter(networks.values())))
    return f"Weights kept in each of {count} layers: {'; '.join(sentences)}."
