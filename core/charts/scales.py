"""The colour bar of a mosaic as a chart of its own, in the page's fonts and colours."""

import altair as alt
import numpy as np
import pandas as pd

from core.inspect.mosaic import Scale

_STEPS = 127  # odd: the middle of a diverging scale is a step of its own
_HEIGHT = 90  # pixels, with the axis and its title


def bar(scale: Scale, label: str) -> alt.Chart:
    """The scale's colours over its values; `label` says what they measure.

    Each step reaches to the end, under those after it: between steps that only touch one would see the page.
    """
    return alt.Chart(frame(scale)).mark_rect(strokeWidth=0).encode(
        x=alt.X("from:Q", title=label, scale=alt.Scale(domain=[scale.low, scale.high], nice=False),
                axis=alt.Axis(tickCount=5, grid=False, labelFlush=True, values=ticks(scale), format=".3~g")),
        x2=alt.X2Datum(scale.high), color=alt.Color("colour:N", scale=None), tooltip=alt.value(None),
    ).properties(height=_HEIGHT)


def ticks(scale: Scale) -> list[float]:
    """The ends, the middle, and what lies half way."""
    return [float(value) for value in np.linspace(scale.low, scale.high, 5)]


def frame(scale: Scale) -> pd.DataFrame:
    """A row for each step of the bar: from, to, and its colour as #rrggbb."""
    edges = np.linspace(scale.low, scale.high, _STEPS + 1)
    colours = scale.palette[scale.levels((edges[1:] + edges[:-1]) / 2)]
    return pd.DataFrame({"from": edges[:-1], "to": edges[1:], "colour": ["#" + bytes(rgb).hex() for rgb in colours]})
