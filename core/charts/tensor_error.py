"""Draws the error of each layer's output in compressed networks, from input to output."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import altair as alt
import pandas as pd

from core.charts.layer_axis import layer_axis

if TYPE_CHECKING:
    from core.inspect.tensor_error import TensorError

_HEIGHT = 380  # pixels
_COLUMNS = ["layer", "network", "snr", "fall"]


def error_table(errors: "Mapping[str, Sequence[TensorError]]") -> pd.DataFrame:
    """Return a row for each layer of each network: layer, network, snr and fall in decibels.

    errors: of each compressed network, by its name. An output without an error, whose ratio is
    infinite, has the snr None.
    """
    rows = [
        {
            "layer": error.layer,
            "network": network,
            "snr": error.snr if math.isfinite(error.snr) else None,
            "fall": error.fall,
        }
        for network, layers in errors.items()
        for error in layers
    ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def error_chart(table: pd.DataFrame) -> alt.LayerChart:
    """Draw the signal-to-noise ratio along the layers, as a line for each network.

    table: the result of `error_table`. Where a line falls, an error arises.
    """
    networks = table["network"].unique().tolist()
    legend = alt.Legend(orient="top", title=None) if len(networks) > 1 else None
    scale = alt.Scale(zero=False)
    axis = alt.Axis(tickCount=6, format="~g")
    base = alt.Chart(table).encode(
        x=layer_axis(table["layer"].unique().tolist()),
        y=alt.Y("snr:Q", title="Signal-to-noise ratio (dB)", scale=scale, axis=axis),
        color=alt.Color("network:N", scale=alt.Scale(domain=networks), legend=legend),
        tooltip=[
            alt.Tooltip("layer:N", title="Layer"),
            alt.Tooltip("network:N", title="Network"),
            alt.Tooltip("snr:Q", title="Signal-to-noise ratio (dB)", format=".1f"),
            alt.Tooltip("fall:Q", title="Lower than the layer before by (dB)", format=".1f"),
        ],
    )
    points = base.mark_point(filled=True, size=70, opacity=1)
    return alt.LayerChart(layer=[base.mark_line(), points]).properties(height=_HEIGHT)


def error_alt_text(table: pd.DataFrame) -> str:
    """Describe the chart for people who cannot see it."""
    known = table.dropna(subset="snr")
    layers = table["layer"].nunique()
    if known.empty:
        return f"The outputs of {layers} layers have no error."
    lowest = known.astype({"snr": float}).nsmallest(1, "snr").iloc[0]
    return (
        f"Signal-to-noise ratio of the outputs of {layers} layers, from input to output. The lowest"
        f" is {lowest['snr']:.1f} dB, at {lowest['layer']} of {lowest['network']}."
    )
