"""How many weights every layer keeps: the chosen way of pruning as bars, the other way as marks."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import altair as alt
import pandas as pd

if TYPE_CHECKING:
    from core.training.preview import Layer

NAMED = 24  # more layers than these have no room for their names below the bars
HEIGHT = 300


def chart(ways: Mapping[str, "Sequence[Layer]"]) -> alt.LayerChart:
    """Density by layer, in order; `ways` maps "global" or "layerwise" to its layers, the chosen way first.

    The axis is a square root, so that a layer of 1% can be told from a dead one beside a layer of 100%.
    """
    chosen, *others = ways
    rows = frame(ways)
    few = rows["layer"].nunique() <= NAMED
    base = alt.Chart(rows).encode(
        x=alt.X("layer:N", sort=None, title=None if few else "Layers, from input to output (names on hover)",
                axis=alt.Axis(labels=few, ticks=few, labelAngle=-40, labelLimit=130)),
        y=alt.Y("density:Q", title="Density (square-root scale)",
                axis=alt.Axis(format="~%", values=[0, 0.01, 0.05, 0.1, 0.25, 0.5, 1], labelOverlap=False),
                scale=alt.Scale(type="sqrt", domain=[0, 1])),
        color=alt.Color("pruning:N", title=None, sort=list(ways), legend=alt.Legend(orient="top")),
        tooltip=[alt.Tooltip("layer:N", title="Layer"), alt.Tooltip("pruning:N", title="Pruning"),
                 alt.Tooltip("kept:Q", title="Kept weights", format=","),
                 alt.Tooltip("weights:Q", title="of", format=","),
                 alt.Tooltip("density:Q", title="Density", format=".3%"),
                 alt.Tooltip("macs:Q", title="Multiply-adds", format=",")])
    bars = base.transform_filter(alt.datum.pruning == chosen).mark_bar(opacity=0.85)
    marks = [base.transform_filter(alt.datum.pruning == other).mark_tick(thickness=3, opacity=1)
             for other in others]
    return alt.layer(bars, *marks).properties(height=HEIGHT)


def frame(ways: Mapping[str, "Sequence[Layer]"]) -> pd.DataFrame:
    """One row a layer and way: layer, pruning, kept, weights, density, macs."""
    return pd.DataFrame([{"layer": layer.name.removesuffix(".weight"), "pruning": way, "kept": layer.kept,
                          "weights": layer.weights, "density": layer.density, "macs": layer.macs}
                         for way, layers in ways.items() for layer in layers])


def described(ways: Mapping[str, "Sequence[Layer]"]) -> str:
    """The chart in a sentence, for who cannot see it."""
    parts = []
    for way, layers in ways.items():
        low, high = min(layers, key=lambda layer: layer.density), max(layers, key=lambda layer: layer.density)
        parts.append(f"{way} pruning keeps from {low.density:.2%} ({low.name}) to {high.density:.2%} ({high.name})")
    return f"Weights kept in each of {len(next(iter(ways.values())))} layers: {'; '.join(parts)}."
