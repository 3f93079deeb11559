"""The distributions of the weights of one or two networks, as charts and as a table.

The first network is blue and the second orange. Values that repeat, as those of quantized weights
do, are drawn as spikes at their exact positions. The zeros are written above as a number, because
there may be so many of them that nothing else would be visible.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import altair as alt
import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from core.inspect.weights.histogram import Bins, Distribution
    from core.inspect.weights.levels import LayerLevels

DistributionView = Literal["Histogram", "Scatter"]

ERROR_NAME = "B − A"
"""The name of the error among the distributions."""

COUNT_FLOOR = 0.6
"""The value at which bars begin on a logarithmic scale, so that a single weight is visible."""

_HEIGHT = 400
_BIN_COLUMNS = ["model", "low", "high", "middle", "weights", "share", "value"]
_ZERO_COLUMNS = ["model", "low", "weights", "share", "words"]


def distribution_chart(
    distributions: Mapping[str, "Distribution"],
    names: list[str],
    view: DistributionView,
    log: bool,
    x_title: str = "Weight value",
    height: int = _HEIGHT,
) -> alt.LayerChart:
    """Draw the number of weights over their value, of one or two networks in one chart.

    distributions: the distributions by the network's name. names: the names of all that have a
    colour, in the order of the colours. log: whether the numbers have a logarithmic scale. Dragging
    and the mouse wheel move and zoom along the values only; a double click resets.
    """
    table = distribution_table(distributions, view)
    zeros = zeros_table(distributions)
    domain = value_domain(distributions)
    x = _values_axis("middle:Q" if view == "Scatter" else "low:Q", domain, x_title)
    most = table["weights"].max() if len(table) else 1
    y = _counts_axis(most, log, has_zeros=len(zeros) > 0)
    is_level = table["low"] == table["high"]
    layers = []
    for kind, rows in (("bins", table[~is_level]), ("levels", table[is_level])):
        if len(rows):
            base = _base_chart(rows, list(distributions), names, x, y)
            layers.append(_mark_values(base, kind, view, log))
    layers += _zero_labels(zeros, names, _values_axis("low:Q", domain, x_title))
    chart = alt.LayerChart(layer=layers)
    return chart.interactive(name="zoom", bind_y=False).properties(height=height)


def distribution_table(
    distributions: Mapping[str, "Distribution"], view: DistributionView
) -> pd.DataFrame:
    """Return a row for each bin: model, low, high, middle, weights, share and value (in words).

    `share` is the fraction of all weights of the model, zeros included.
    """
    parts = []
    for name, distribution in distributions.items():
        bins = bins_of(distribution, view)
        if not len(bins.low):
            continue
        columns = {
            "model": name,
            "low": bins.low,
            "high": bins.high,
            "middle": bins.middle,
            "weights": bins.counts,
            "share": bins.counts / distribution.summary.count,
            "value": _values_in_words(bins),
        }
        parts.append(pd.DataFrame(columns))
    if not parts:
        return pd.DataFrame(columns=_BIN_COLUMNS)
    return pd.concat(parts, ignore_index=True)


def zeros_table(distributions: Mapping[str, "Distribution"]) -> pd.DataFrame:
    """Return a row for each model with zeros: model, low (0), weights, share and words."""
    rows = []
    for name, distribution in distributions.items():
        summary = distribution.summary
        if summary.zeros:
            rows.append(
                {
                    "model": name,
                    "low": 0,
                    "weights": summary.zeros,
                    "share": summary.zeros / summary.count,
                    "words": f"▼ {summary.zeros:,} zeros",
                }
            )
    return pd.DataFrame(rows, columns=_ZERO_COLUMNS)


def distribution_csv(distributions: Mapping[str, "Distribution"], view: DistributionView) -> bytes:
    """Return the bins and the zeros as CSV with exact counts: model, low, high, weights."""
    tables = [
        distribution_table(distributions, view),
        zeros_table(distributions).assign(high=0),
    ]
    columns = ["model", "low", "high", "weights"]
    rows = pd.concat([table[columns] for table in tables if len(table)])
    return rows.to_csv(index=False).encode()


def distribution_alt_text(distributions: Mapping[str, "Distribution"], title: str) -> str:
    """Describe the chart for people who cannot see it."""
    sentences = []
    for name, distribution in distributions.items():
        summary = distribution.summary
        sentences.append(
            f"{name} has {summary.count:,} weights from {summary.low:.3g} to {summary.high:.3g},"
            f" {summary.zeros:,} of them zero, {summary.unique:,} different"
        )
    return f"{title}: {'; '.join(sentences)}."


def bins_of(distribution: "Distribution", view: DistributionView) -> "Bins":
    """Return the bins that a view draws."""
    return distribution.scatter if view == "Scatter" else distribution.histogram


def value_domain(distributions: Mapping[str, "Distribution"]) -> list[float]:
    """Return the range of the values of all distributions, with a small margin."""
    low = min(distribution.summary.low for distribution in distributions.values())
    high = max(distribution.summary.high for distribution in distributions.values())
    margin = 0.02 * (high - low) or 0.1 * max(abs(low), 1e-6)
    return [float(np.float64(low) - margin), float(np.float64(high) + margin)]


# -- levels --


def levels_chart(levels: "LayerLevels", name: str, names: list[str]) -> alt.Chart:
    """Draw the number of weights on each level of a layer, as bars in the order of their values.

    name: the model's name. names: see `distribution_chart`.
    """
    is_per_channel = levels.kind == "affine per channel"
    title = "Integer value, which each channel scales" if is_per_channel else "Value of the level"
    x = alt.X(
        "value:O",
        title=title,
        axis=alt.Axis(format=".3~g", labelOverlap=True, labelFlush=False, labelAngle=-45),
    )
    count_axis = alt.Axis(format="~s", tickCount=5, labelFlush=False)
    y = alt.Y("weights:Q", title="Weights", axis=count_axis)
    tooltip = [
        alt.Tooltip("value:Q", title="Value", format=".9~g"),
        alt.Tooltip("weights:Q", title="Weights", format=",d"),
        alt.Tooltip("share:Q", title="Share", format=".3%"),
    ]
    chart = alt.Chart(levels_table(levels).assign(model=name)).mark_bar()
    return chart.encode(x=x, y=y, color=_model_colour(names, None), tooltip=tooltip).properties(
        height=220
    )


def levels_table(levels: "LayerLevels") -> pd.DataFrame:
    """Return a row for each level: value, weights, and share of the layer's weights."""
    total = levels.counts.sum() + levels.extra_zeros
    return pd.DataFrame(
        {"value": levels.values, "weights": levels.counts, "share": levels.counts / total}
    )


# -- parts of the charts --


def _values_in_words(bins: "Bins") -> list[str]:
    words = []
    for low, high in zip(bins.low, bins.high, strict=True):
        words.append(f"{low:.9g}" if low == high else f"{low:.6g} to {high:.6g}")
    return words


def _values_axis(field: str, domain: list[float], title: str) -> alt.X:
    return alt.X(
        field,
        title=title,
        scale=alt.Scale(domain=domain, nice=False),
        axis=alt.Axis(format="~g", tickCount=8, labelFlush=False),
    )


def _counts_axis(most: int, log: bool, has_zeros: bool) -> alt.Y:
    """Return the axis of the counts. With `has_zeros` it leaves room for their labels."""
    if not log:
        top = most * (1.3 if has_zeros else 1.02)
        return alt.Y(
            "weights:Q",
            title="Weights",
            axis=alt.Axis(format="~s", tickCount=5, labelFlush=False),
            scale=alt.Scale(domain=[0, top], nice=False),
        )
    top = most * (10 if has_zeros else 1.2)
    decades = [10**power for power in range(12) if 10**power <= most * 10]
    return alt.Y(
        "weights:Q",
        title="Weights, log scale",
        axis=alt.Axis(format="~s", values=decades, labelFlush=False),
        scale=alt.Scale(type="log", domain=[COUNT_FLOOR, top], nice=False),
    )


def _base_chart(
    rows: pd.DataFrame, models: list[str], names: list[str], x: alt.X, y: alt.Y
) -> alt.Chart:
    """Return a chart of bins with position, colour and tooltip, but without marks."""
    legend = alt.Legend(
        orient="top", title=None, labelLimit=420, symbolType="square", columns=1, values=models
    )
    tooltip = [
        alt.Tooltip("model:N", title="Model"),
        alt.Tooltip("value:N", title="Value"),
        alt.Tooltip("weights:Q", title="Weights", format=",d"),
        alt.Tooltip("share:Q", title="Share", format=".3%"),
    ]
    return alt.Chart(rows).encode(x=x, y=y, color=_model_colour(names, legend), tooltip=tooltip)


def _mark_values(base: alt.Chart, kind: str, view: DistributionView, log: bool) -> alt.Chart:
    """Draw points in a scatter plot. Draw bins as bars and levels as spikes in a histogram."""
    if view == "Scatter":
        return base.mark_point(filled=True, size=22, opacity=0.75, clip=True)
    floor = alt.Y2Datum(COUNT_FLOOR if log else 0)
    if kind == "bins":
        return base.mark_rect(opacity=0.6, clip=True).encode(x2="high:Q", y2=floor)
    return base.mark_rule(strokeWidth=2.5, opacity=0.85, clip=True).encode(y2=floor)


def _zero_labels(zeros: pd.DataFrame, names: list[str], x: alt.X) -> list[alt.Chart]:
    """Return for each model with zeros an arrow down to zero with their number."""
    tooltip = [
        alt.Tooltip("model:N", title="Model"),
        alt.Tooltip("weights:Q", title="Exactly 0", format=",d"),
        alt.Tooltip("share:Q", title="Share", format=".3%"),
    ]
    labels = []
    for row in range(len(zeros)):
        chart = alt.Chart(zeros[row : row + 1])
        chart = chart.mark_text(align="left", dx=-5, fontSize=12, clip=True)
        labels.append(
            chart.encode(
                x=x,
                y=alt.value(10 + 18 * row),
                text="words:N",
                color=_model_colour(names, None),
                tooltip=tooltip,
            )
        )
    return labels


def _model_colour(names: list[str], legend: alt.Legend | None) -> alt.Color:
    return alt.Color("model:N", scale=alt.Scale(domain=names), legend=legend)
