"""The colour bar of a mosaic as a chart, in the fonts and colours of the page."""

import altair as alt
import numpy as np
import pandas as pd

from core.inspect.mosaic import ColourScale

_STEPS = 127
"""The number of coloured steps. It is odd, so that the middle of a diverging scale is a step."""

_HEIGHT = 90
"""Pixels, with the axis and its title."""


def colorbar_chart(scale: ColourScale, label: str) -> alt.Chart:
    """Draw the colours of the scale over their values. `label` says what is measured."""
    axis = alt.Axis(
        tickCount=5, grid=False, labelFlush=False, values=colorbar_ticks(scale), format=".3~g"
    )
    return (
        alt.Chart(colorbar_table(scale))
        .mark_rect(strokeWidth=0)
        .encode(
            x=alt.X(
                "from:Q",
                title=label,
                scale=alt.Scale(domain=[scale.low, scale.high], nice=False),
                axis=axis,
            ),
            # Each step reaches to the end of the bar, below the steps after it. If steps only
            # touched, the page would show between them.
            x2=alt.X2Datum(scale.high),
            color=alt.Color("colour:N", scale=None),
            tooltip=alt.value(None),
        )
        .properties(height=_HEIGHT)
    )


def colorbar_ticks(scale: ColourScale) -> list[float]:
    """Return the values with a tick: the ends, the middle, and the middle of each half."""
    return [float(value) for value in np.linspace(scale.low, scale.high, 5)]


def colorbar_table(scale: ColourScale) -> pd.DataFrame:
    """Return a row for each step of the bar, with columns from, to and colour (#rrggbb)."""
    edges = np.linspace(scale.low, scale.high, _STEPS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    colours = scale.palette[scale.levels(middles)]
    return pd.DataFrame(
        {"from": edges[:-1], "to": edges[1:], "colour": ["#" + bytes(rgb).hex() for rgb in colours]}
    )
