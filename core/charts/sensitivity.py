"""Draws the cost of quantizing each layer alone, as bars that can be clicked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import altair as alt
import pandas as pd

if TYPE_CHECKING:
    from core.forecast.quantization import LayerForecast
    from core.forecast.sensitivity import Measure, SensitivityScan

SELECTION = "picked"
"""The name of the chart's parameter that holds the clicked layers, under the field `layer`."""

_CLEAR_ERRORS = 2.0
"""A difference of more standard errors than this is hardly chance."""

_ROW = 20  # pixels for a layer
_AXIS = 65  # pixels, with the padding
_COLUMNS = ["layer", "cost", "error", "low", "high", "clear", "choice", "snr"]


@dataclass(frozen=True)
class CostWords:
    """How a cost is written. title: with its unit."""

    title: str
    number_format: str


COST_WORDS: "dict[Measure, CostWords]" = {
    "divergence": CostWords("KL divergence (nats)", ".3~g"),
    "accuracy": CostWords("Accuracy lost (percentage points)", "+.2f"),
}


def sensitivity_chart(
    table: pd.DataFrame, names: Sequence[str], unit: str, measure: "Measure" = "divergence"
) -> alt.LayerChart:
    """Draw the cost of each layer, with the standard error.

    table: the result of `sensitivity_table`. names: all layers in order, so that the chart of an
    unfinished scan has its final size. unit: "clusters" or "bits". measure: what the scan measured.
    A click on a bar selects it.
    """
    words = COST_WORDS[measure]
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
        alt.Tooltip("cost:Q", title=words.title, format=words.number_format),
        alt.Tooltip("error:Q", title="Standard error", format=".2~g"),
        alt.Tooltip("choice:Q", title=unit.capitalize()),
        alt.Tooltip("snr:Q", title="SNR (dB)", format=".1f"),
    ]
    base = alt.Chart().encode(y=y, tooltip=tooltip)
    x = alt.X(
        "cost:Q",
        title=words.title,
        axis=alt.Axis(format="~g", tickCount=6, labelFlush=False),
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
    return chart.properties(height=_ROW * len(names) + _AXIS, padding=padding)


def sensitivity_table(layers: "Sequence[LayerForecast]", scan: "SensitivityScan") -> pd.DataFrame:
    """Return a row for each measured layer.

    layer: name. cost: in nats or percentage points. error: standard error of it. low, high: cost
    minus and plus the error. clear: whether the cost is hardly chance. choice: clusters or bits.
    snr: signal-to-noise ratio in decibels.
    """
    rows = []
    for layer in layers:
        if not layer.choice or layer.name not in scan.layers:
            continue
        cost, error = scan.layers[layer.name]
        rows.append(
            {
                "layer": layer.name,
                "cost": cost,
                "error": error,
                "low": cost - error,
                "high": cost + error,
                "clear": abs(cost) > _CLEAR_ERRORS * error,
                "choice": layer.choice,
                "snr": layer.snr,
            }
        )
    return pd.DataFrame(rows, columns=_COLUMNS)


def sensitivity_alt_text(table: pd.DataFrame, measure: "Measure" = "divergence") -> str:
    """Describe the chart for people who cannot see it."""
    if table.empty:
        return "No layer was measured yet."
    worst = table.sort_values("cost", ascending=False).head(3)
    costs = zip(worst["layer"], worst["cost"], strict=True)
    worst_in_words = ", ".join(f"{layer} ({cost:.2g})" for layer, cost in costs)
    return (
        f"{COST_WORDS[measure].title} of each of {len(table)} layers quantized alone; most of"
        f" {worst_in_words}."
    )
