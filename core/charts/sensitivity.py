"""The accuracy that is lost if a layer alone is quantized, as bars that can be clicked."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import altair as alt
import pandas as pd

if TYPE_CHECKING:
    from core.forecast.quantization import LayerPlan
    from core.forecast.sensitivity import SensitivityScan

SELECTION = "picked"
"""The name of the chart's parameter that holds the clicked layers, under the field `layer`."""

_CLEAR_ERRORS = 2.0
"""A difference of more standard errors than this is hardly chance."""

_COLUMNS = ["layer", "points", "error", "low", "high", "clear", "choice", "snr"]


def sensitivity_chart(table: pd.DataFrame, names: Sequence[str], unit: str) -> alt.LayerChart:
    """Draw the percentage points that each layer loses, with the standard error.

    table: the result of `sensitivity_table`. names: all layers in order, so that the chart of an
    unfinished scan has its final size. unit: "clusters" or "bits". A click on a bar selects it.
    """
    selection = alt.selection_point(
        name=SELECTION, fields=["layer"], on="click", toggle="event.shiftKey", empty=False
    )
    y = alt.Y(
        "layer:N",
        title=None,
        scale=alt.Scale(domain=list(names)),
        axis=alt.Axis(labelLimit=190, labelOverlap=False, labelFlush=False),
    )
    tooltip = [
        alt.Tooltip("layer:N", title="Layer"),
        alt.Tooltip("points:Q", title="Points lost", format="+.2f"),
        alt.Tooltip("error:Q", title="Standard error", format=".2f"),
        alt.Tooltip("choice:Q", title=unit.capitalize()),
        alt.Tooltip("snr:Q", title="SNR (dB)", format=".1f"),
    ]
    base = alt.Chart().encode(y=y, tooltip=tooltip)
    x = alt.X(
        "points:Q",
        title="Accuracy lost (percentage points)",
        axis=alt.Axis(format="~g", tickCount=6),
    )
    opacity = alt.Scale(domain=[True, False], range=[1.0, 0.35])
    bars = base.mark_bar(cursor="pointer", stroke="#d9731a", height={"band": 0.75}).encode(
        x=x,
        fillOpacity=alt.FillOpacity("clear:N", legend=None, scale=opacity),
        strokeWidth=alt.condition(selection, alt.value(3), alt.value(0)),
    )
    errors = base.mark_rule(color="#808080", strokeWidth=1.5).encode(x=alt.X("low:Q"), x2="high:Q")
    # By default Altair names the data by its hash, and a browser draws a changed chart anew. With a
    # fixed name it moves the bars.
    chart = alt.LayerChart(
        layer=[bars.add_params(selection), errors],
        data=alt.NamedData("layers"),
        datasets={"layers": table.to_dict("records")},
    )
    padding = {"left": 5, "top": 12, "right": 5, "bottom": 5}
    return chart.properties(height=alt.Step(20), padding=padding)


def sensitivity_table(layers: "Sequence[LayerPlan]", scan: "SensitivityScan") -> pd.DataFrame:
    """Return a row for each measured layer.

    layer: name. points: percentage points of accuracy lost. error: standard error of it. low, high:
    points minus and plus the error. clear: whether the loss is hardly chance. choice: clusters or
    bits. snr: signal-to-noise ratio in decibels.
    """
    rows = []
    for layer in layers:
        if not layer.choice or layer.name not in scan.layers:
            continue
        points = 100 * scan.drop(layer.name)
        error = 100 * scan.error(layer.name)
        rows.append(
            {
                "layer": layer.name,
                "points": points,
                "error": error,
                "low": points - error,
                "high": points + error,
                "clear": abs(points) > _CLEAR_ERRORS * error,
                "choice": layer.choice,
                "snr": layer.snr,
            }
        )
    return pd.DataFrame(rows, columns=_COLUMNS)


def sensitivity_alt_text(table: pd.DataFrame) -> str:
    """Describe the chart for people who cannot see it."""
    if table.empty:
        return "No layer was measured yet."
    worst = table.sort_values("points", ascending=False).head(3)
    losses = zip(worst["layer"], worst["points"], strict=True)
    worst_in_words = ", ".join(f"{layer} ({points:.1f})" for layer, points in losses)
    return (
        f"Accuracy lost by each of {len(table)} layers quantized alone, in percentage points; most"
        f" by {worst_in_words}."
    )
