"""Draws whether the confidence of models says how often they are right, and how sure they are."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import altair as alt
import pandas as pd

if TYPE_CHECKING:
    from core.inspect.behaviour.calibration import MarginHistogram, Reliability

_HEIGHT = 300  # pixels, without the legend
_LEGEND_LINE = 30
_GREY = "#8a938d"
_TICKS = [0, 1, 3, *(digit * 10**power for power in range(1, 7) for digit in (1, 3))]


def reliability_table(reliabilities: "Mapping[str, Reliability]") -> pd.DataFrame:
    """Return a row for each model and bin that holds images: confidence, accuracy and images."""
    rows = []
    for model, reliability in reliabilities.items():
        for bin_index, images in enumerate(reliability.counts):
            if images:
                rows.append(
                    {
                        "model": model,
                        "confidence": reliability.confidence[bin_index],
                        "accuracy": reliability.accuracy[bin_index],
                        "images": int(images),
                    }
                )
    return pd.DataFrame(rows, columns=["model", "confidence", "accuracy", "images"])


def reliability_chart(table: pd.DataFrame, models: Sequence[str]) -> alt.LayerChart:
    """Draw the accuracy of each bin against its confidence; larger points have more images.

    models: their names, in the order of their colours.
    """
    axis = alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1], labelFlush=False)
    scale = alt.Scale(domain=[0, 1], nice=False)
    base = alt.Chart(table).encode(
        x=alt.X("confidence:Q", title="Mean confidence of the bin", axis=axis, scale=scale),
        y=alt.Y("accuracy:Q", title="Accuracy in the bin", axis=axis, scale=scale),
        color=_colour(models),
        tooltip=[
            alt.Tooltip("model:N", title="Model"),
            alt.Tooltip("confidence:Q", title="Mean confidence", format=".1%"),
            alt.Tooltip("accuracy:Q", title="Accuracy", format=".1%"),
            alt.Tooltip("images:Q", title="Images", format=","),
        ],
    )
    size = alt.Size("images:Q", legend=None, scale=alt.Scale(range=[30, 300]))
    diagonal = alt.Chart(pd.DataFrame({"x": [0, 1]})).mark_line(strokeDash=[4, 4], color=_GREY)
    layers = [
        diagonal.encode(x="x:Q", y="x:Q"),
        base.mark_line(strokeWidth=1.5, opacity=0.7),
        base.mark_circle(opacity=0.85, clip=False).encode(size=size),
    ]
    return alt.LayerChart(layer=layers).properties(height=_height(models))


def margin_table(histograms: "Mapping[str, MarginHistogram]") -> pd.DataFrame:
    """Return a row for each model and bin: low and high end of the margin, and images."""
    rows = [
        {"model": model, "low": low, "high": high, "images": int(images)}
        for model, histogram in histograms.items()
        for low, high, images in zip(
            histogram.edges[:-1], histogram.edges[1:], histogram.counts, strict=True
        )
    ]
    return pd.DataFrame(rows, columns=["model", "low", "high", "images"])


def margin_chart(table: pd.DataFrame, models: Sequence[str]) -> alt.LayerChart:
    """Draw the histograms over each other as steps, with wrong answers left of 0."""
    ends = table[table["high"] == 1].assign(low=1.0)  # a step ends where the next row begins
    base = alt.Chart(pd.concat([table, ends])).encode(
        x=alt.X("low:Q", title="Margin of the true class", scale=alt.Scale(domain=[-1, 1])),
        color=_colour(models),
        tooltip=[
            alt.Tooltip("model:N", title="Model"),
            alt.Tooltip("low:Q", title="Margin from", format=".2f"),
            alt.Tooltip("high:Q", title="to", format=".2f"),
            alt.Tooltip("images:Q", title="Images", format=","),
        ],
    )
    ticks = [tick for tick in _TICKS if tick <= table["images"].max()]
    axis = alt.Axis(values=ticks, format="~s")
    scale = alt.Scale(type="symlog", nice=False)
    y = alt.Y("images:Q", title="Images", stack=None, axis=axis, scale=scale)
    steps = base.mark_area(
        interpolate="step-after", opacity=0.2, line={"strokeWidth": 2, "interpolate": "step-after"}
    ).encode(y=y)
    zero = alt.Chart().mark_rule(strokeDash=[4, 4], color=_GREY).encode(x=alt.datum(0))
    return alt.LayerChart(layer=[steps, zero]).properties(height=_height(models))


def _height(models: Sequence[str]) -> int:
    return _HEIGHT + _LEGEND_LINE * len(models)


def _colour(models: Sequence[str]) -> alt.Color:
    legend = alt.Legend(title=None, orient="top", columns=1, labelLimit=320, symbolOpacity=1)
    return alt.Color("model:N", scale=alt.Scale(domain=list(models)), legend=legend)


def calibration_alt_text(reliabilities: "Mapping[str, Reliability]") -> str:
    """Describe the reliability diagram for people who cannot see it."""
    errors = [
        f"{model} {reliability.expected_calibration_error:.1%}"
        for model, reliability in reliabilities.items()
    ]
    return f"Accuracy by confidence. Expected calibration error: {', '.join(errors)}."
