"""Accuracy that each layer costs when it alone is quantized, as bars that can be clicked."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import altair as alt
import pandas as pd

if TYPE_CHECKING:
    from core.inspect.plan import LayerPlan
    from core.inspect.sensitivity import Scan

PICKED = "picked"  # the parameter whose selection is the clicked layers
_CLEAR = 2.0  # standard errors from which on a difference is hardly chance


def chart(rows: pd.DataFrame, names: Sequence[str], unit: str) -> alt.LayerChart:
    """Percentage points lost by layer; `rows` as `frame` makes them, `unit` is "clusters" or "bits".

    names: all layers in order, so that the picture of a scan fills up and does not move.
    A click on a bar selects its layer, under the name `PICKED` and the field `layer`.
    """
    picked = alt.selection_point(name=PICKED, fields=["layer"], on="click", toggle="event.shiftKey", empty=False)
    base = alt.Chart().encode(
        y=alt.Y("layer:N", title=None, scale=alt.Scale(domain=list(names)),
                axis=alt.Axis(labelLimit=190, labelOverlap=False, labelFlush=False)),
        tooltip=[alt.Tooltip("layer:N", title="Layer"),
                 alt.Tooltip("points:Q", title="Points lost", format="+.2f"),
                 alt.Tooltip("error:Q", title="Standard error", format=".2f"),
                 alt.Tooltip("choice:Q", title=unit.capitalize()),
                 alt.Tooltip("snr:Q", title="SNR (dB)", format=".1f")])
    bars = base.mark_bar(cursor="pointer", stroke="#d9731a", height={"band": 0.75}).encode(
        x=alt.X("points:Q", title="Accuracy lost (percentage points)", axis=alt.Axis(format="~g", tickCount=6)),
        fillOpacity=alt.FillOpacity("clear:N", legend=None, scale=alt.Scale(domain=[True, False], range=[1.0, 0.35])),
        strokeWidth=alt.condition(picked, alt.value(3), alt.value(0))).add_params(picked)
    spans = base.mark_rule(color="#808080", strokeWidth=1.5).encode(x=alt.X("low:Q"), x2="high:Q")
    # Under a name of its own: Altair would name the data by its hash, and a browser draws a changed spec from scratch.
    return alt.layer(bars, spans, data=alt.NamedData("layers"), datasets={"layers": rows.to_dict("records")}
                     ).properties(height=alt.Step(20), padding={"left": 5, "top": 12, "right": 5, "bottom": 5})


def frame(layers: "Sequence[LayerPlan]", scan: "Scan") -> pd.DataFrame:
    """One row for each layer that was measured: layer, points, error, low, high, clear, choice, snr."""
    rows = []
    for layer in layers:
        if layer.choice and layer.name in scan.layers:
            points, error = 100 * scan.drop(layer.name), 100 * scan.error(layer.name)
            rows.append({"layer": layer.name, "points": points, "error": error, "low": points - error,
                         "high": points + error, "clear": abs(points) > _CLEAR * error, "choice": layer.choice,
                         "snr": layer.snr})
    return pd.DataFrame(rows, columns=["layer", "points", "error", "low", "high", "clear", "choice", "snr"])


def described(rows: pd.DataFrame) -> str:
    """The chart in a sentence, for who cannot see it."""
    if rows.empty:
        return "No layer was measured yet."
    worst = rows.sort_values("points", ascending=False).head(3)
    named = ", ".join(f"{row.layer} ({row.points:.1f})" for row in worst.itertuples())
    return f"Accuracy lost by each of {len(rows)} layers quantized alone, in percentage points; most by {named}."
