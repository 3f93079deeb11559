"""Draws how similar the activations of networks are, layer by layer, as points to be clicked."""

import math
from collections.abc import Mapping, Sequence

import altair as alt
import pandas as pd

from core.charts.layer_axis import layer_axis

SELECTION = "parting_layer"
"""The name of the chart's parameter that holds the clicked point, under the field `layer`."""

_HEIGHT = 380  # pixels
_RULE_COLOUR = "#8a938d"  # readable on the light page and on the dark one
_LETTERS = ["A", "B", "C"]  # the networks of a comparison
_COLUMNS = ["layer", "network", "cosine"]


def similarity_table(similarities: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Return a row for each layer of each network: layer, network, cosine (None for NaN).

    similarities: the cosine in [-1, 1] of each layer, in order, by the network's letter.
    """
    rows = [
        {"layer": layer, "network": network, "cosine": None if math.isnan(cosine) else cosine}
        for network, cosines in similarities.items()
        for layer, cosine in cosines.items()
    ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def similarity_range(table: pd.DataFrame, threshold: float) -> tuple[float, float]:
    """Return the ends of the axis: the next tenth below all values and the threshold, and 1."""
    cosines = [cosine for cosine in table["cosine"] if pd.notna(cosine)]
    lowest = min([threshold, *cosines])
    return max(-1.0, math.floor(10 * lowest - 1e-9) / 10), 1.0


def similarity_chart(table: pd.DataFrame, threshold: float) -> alt.LayerChart:
    """Draw the cosine of each layer as a line for each network, and the threshold.

    table: the result of `similarity_table`. threshold: a cosine. A click selects the nearest point.
    """
    selection = alt.selection_point(
        name=SELECTION, fields=["layer"], on="click", nearest=True, toggle=False, empty=False
    )
    scale = alt.Scale(domain=list(similarity_range(table, threshold)), nice=False)
    base = alt.Chart().encode(
        x=layer_axis(table["layer"].unique().tolist()),
        y=alt.Y("cosine:Q", title="Cosine to A", scale=scale, axis=alt.Axis(tickCount=6)),
        color=_network_colour(table["network"].unique().tolist()),
        tooltip=[
            alt.Tooltip("layer:N", title="Layer"),
            alt.Tooltip("network:N", title="Network"),
            alt.Tooltip("cosine:Q", title="Cosine to A", format=".4f"),
        ],
    )
    points = base.mark_point(filled=True, size=90, opacity=1, cursor="pointer")
    chart = alt.LayerChart(
        layer=[_threshold_rule(threshold, scale), base.mark_line(), points.add_params(selection)],
        data=alt.NamedData("similarities"),
        datasets={
            "similarities": table.astype(object).where(table.notna(), None).to_dict("records")
        },
    )
    return chart.properties(height=_HEIGHT)


def similarity_alt_text(table: pd.DataFrame) -> str:
    """Describe the chart for people who cannot see it."""
    layers = table["layer"].nunique()
    known = table.dropna(subset="cosine")
    if known.empty:
        return "The cosine to the layers of A is NaN everywhere."
    lowest = known.astype({"cosine": float}).nsmallest(1, "cosine").iloc[0]
    return (
        f"The cosine of {layers} layers to those of A, in the order of the calls. The lowest is"
        f" {lowest['cosine']:.3f}, at {lowest['layer']} of {lowest['network']}."
    )


def _network_colour(networks: Sequence[str]) -> alt.Color:
    """Return the colours of the networks, which are those in the chart of the predictions."""
    legend = alt.Legend(orient="top", title=None, values=list(networks))
    scale = alt.Scale(domain=_LETTERS)
    return alt.Color("network:N", scale=scale, legend=legend if len(networks) > 1 else None)


def _threshold_rule(threshold: float, scale: alt.Scale) -> alt.Chart:
    """Return a dashed line at the threshold, over the whole width."""
    rule = alt.Chart().mark_rule(color=_RULE_COLOUR, strokeDash=[6, 4], strokeWidth=1.5)
    return rule.encode(y=alt.YDatum(threshold, scale=scale), tooltip=alt.value(None))
