"""Draws the search of a budget of time: how many times faster each network is, at which cost.

Nothing here needs torch.
"""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from core.charts.compare.colours import GREY
from core.runs.budget import TriedSpeed

HEIGHT = 340  # pixels
_LEAST = 1e-6  # nats; the log scale shows no less
_POWERS = [10.0**power for power in range(-6, 3)]  # where the log scale has its lines
_STATES = {"tuned": "diamond", "not tuned": "circle"}
_FIGURES = ("number", "method", "density", "milliseconds", "speedup", "least", "most")
_COLUMNS = [*_FIGURES, "divergence", "drawn", "epochs", "state", "chosen"]
_DIVERGENCE = "KL divergence from the float network (nats)"


def speedup_table(tried: Sequence[TriedSpeed], chosen: int | None) -> pd.DataFrame:
    """Return a row for each network, in the order in which they were tried.

    chosen: number of the result, None if there is none yet. Columns: the figures of TriedSpeed;
    drawn, the divergence in nats as the log scale shows it; state, "tuned" or "not tuned"; chosen.
    A divergence that is no number is left out.
    """
    rows = [
        [
            *(getattr(made, name) for name in _FIGURES),
            made.divergence,
            max(made.divergence, _LEAST),
            made.epochs,
            "tuned" if made.epochs else "not tuned",
            made.number == chosen,
        ]
        for made in tried
        if math.isfinite(made.divergence)
    ]
    return pd.DataFrame(rows, columns=_COLUMNS, dtype=object)


def speedup_chart(table: pd.DataFrame, faster: float) -> alt.LayerChart:
    """Draw the networks with the intervals of their speeds, and the limit.

    table: the result of `speedup_table`.
    """
    base = alt.Chart().encode(y=_cost_axis())
    x = alt.X("speedup:Q", title="Times faster", scale=alt.Scale(zero=False, padding=20))
    bars = base.mark_rule(color=GREY).encode(x="least:Q", x2="most:Q")
    points = base.mark_point(filled=True, size=90, opacity=0.9).encode(
        x=x,
        shape=_state(alt.Shape, list(_STATES.values())),
        color=_state(alt.Color),
        tooltip=_tips(),
    )
    chosen = base.transform_filter(alt.datum.chosen).encode(x=x)
    words = chosen.mark_text(text="result", align="left", dx=10, dy=-10, color=GREY)
    limit = alt.Chart(alt.NamedData("limit"))
    rule = limit.mark_rule(color=GREY, strokeDash=[5, 4]).encode(x="speedup:Q")
    name = limit.mark_text(text="limit", align="right", dx=-5, baseline="top", color=GREY)
    # With a fixed name of the data, a browser moves the points instead of drawing the chart anew.
    return alt.LayerChart(
        layer=[rule, name.encode(x="speedup:Q", y=alt.value(4)), bars, points, words],
        data=alt.NamedData("tried"),
        datasets={"tried": table.to_dict("records"), "limit": [{"speedup": faster}]},
    ).properties(height=HEIGHT)


def speedup_alt_text(table: pd.DataFrame) -> str:
    """Describe the chart for people who cannot see it."""
    texts = [f"{row.speedup:.2f} times at {row.divergence:.3g}" for row in table.itertuples()]
    return f"{_DIVERGENCE} against times faster of {len(table)} networks: {', '.join(texts)}."


def _cost_axis() -> alt.Y:
    axis = alt.Axis(format="~g", labelFlush=False, values=_POWERS)
    return alt.Y("drawn:Q", title=_DIVERGENCE, scale=alt.Scale(type="log", padding=15), axis=axis)


def _state(channel: Any, values: list[str] | None = None) -> Any:
    """Return the encoding that tells tuned networks from the others."""
    legend = alt.Legend(title=None, orient="top")
    scale = alt.Scale(domain=list(_STATES), range=alt.Undefined if values is None else values)
    return channel("state:N", scale=scale, legend=legend)


def _tips() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("number:Q", title="Candidate", format="d"),
        alt.Tooltip("method:N", title="Channels chosen by"),
        alt.Tooltip("density:Q", title="Weights kept", format=".2%"),
        alt.Tooltip("speedup:Q", title="Times faster", format=".2f"),
        alt.Tooltip("milliseconds:Q", title="An image (ms)", format=".3g"),
        alt.Tooltip("divergence:Q", title="KL divergence (nats)", format=".4~g"),
        alt.Tooltip("epochs:Q", title="Epochs of tuning", format="d"),
    ]
