"""The horizontal axis of the charts that run along the layers of a network."""

from collections.abc import Sequence

import altair as alt


def layer_axis(layers: Sequence[str]) -> alt.X:
    """Return the axis of the field "layer", with the layers in this order."""
    axis = alt.Axis(labelAngle=-40, labelLimit=150, labelOverlap="greedy", grid=False)
    return alt.X("layer:N", title=None, sort=list(layers), axis=axis)
