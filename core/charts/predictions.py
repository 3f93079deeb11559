"""The classes that one or several networks predict for a picture, as bars."""

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
import pandas as pd

SHOWN_CLASSES = 5
"""The number of most likely classes that are drawn. More would push the rest off the screen."""

# Pixels.
_BAR = 15
_GAP_BETWEEN_CLASSES = 8
_AXIS = 55
_LEGEND_LINE = 22


def prediction_chart(
    classes: Sequence[str], probabilities: Mapping[str, np.ndarray], label: str | None = None
) -> alt.LayerChart:
    """Draw the probabilities of the most likely classes, with a bar for each network.

    probabilities: (classes,) in [0, 1] by the network's name. label: the true class of the picture,
    if it is known.
    """
    table = prediction_table(classes, probabilities, label)
    shown_classes = table["class"].unique().tolist()
    networks = list(probabilities)
    has_legend = len(networks) > 1
    y = alt.Y(
        "class:N",
        sort=shown_classes,
        title=None,
        axis=alt.Axis(labelLimit=160, ticks=False, domain=False, labelFlush=False),
    )
    tooltip = [
        alt.Tooltip("class:N", title="Class"),
        alt.Tooltip("network:N", title="Network"),
        alt.Tooltip("probability:Q", title="Probability", format=".1%"),
    ]
    base = alt.Chart(table).encode(
        y=y, yOffset=alt.YOffset("network:N", sort=networks), tooltip=tooltip
    )
    x = alt.X(
        "probability:Q",
        title="Probability",
        axis=alt.Axis(format="%", grid=False, values=[0, 0.25, 0.5, 0.75, 1], labelFlush=False),
        scale=alt.Scale(domain=[0, 1.12], nice=False),
    )
    legend = alt.Legend(orient="top", title=None, labelLimit=320, columns=1)
    color = alt.Color("network:N", sort=networks, legend=legend if has_legend else None)
    bars = base.mark_bar().encode(x=x, color=color)
    numbers = base.mark_text(align="left", dx=4, fontSize=11, color="#808a84").encode(
        x="probability:Q", text=alt.Text("probability:Q", format=".1%")
    )
    height = _AXIS + len(shown_classes) * (_BAR * len(networks) + _GAP_BETWEEN_CLASSES)
    if has_legend:
        height += _LEGEND_LINE * len(networks)
    return alt.LayerChart(layer=[bars, numbers]).properties(height=height)


def prediction_table(
    classes: Sequence[str], probabilities: Mapping[str, np.ndarray], label: str | None = None
) -> pd.DataFrame:
    """Return a row for each class and network: class, network and probability.

    The rows are those of the most likely classes and of the true class, which is ticked.
    """
    rows = []
    for index in _choose_classes(classes, probabilities, label):
        is_true_class = classes[index] == label
        for network, values in probabilities.items():
            rows.append(
                {
                    "class": f"✓ {classes[index]}" if is_true_class else classes[index],
                    "network": network,
                    "probability": float(values[index]),
                }
            )
    return pd.DataFrame(rows)


def _choose_classes(
    classes: Sequence[str], probabilities: Mapping[str, np.ndarray], label: str | None
) -> list[int]:
    """Choose the indices of the most likely classes. The true class replaces the last of them."""
    highest = np.max(list(probabilities.values()), axis=0)
    order = np.argsort(-np.nan_to_num(highest), kind="stable").tolist()
    chosen: list[int] = order[:SHOWN_CLASSES]
    if label in classes and classes.index(label) not in chosen:
        chosen = [*chosen[:-1], classes.index(label)]
    return chosen


def prediction_alt_text(classes: Sequence[str], probabilities: Mapping[str, np.ndarray]) -> str:
    """Describe the chart for people who cannot see it."""
    predictions = [
        f"{network} says {classes[int(np.argmax(values))]} with {np.max(values):.1%}"
        for network, values in probabilities.items()
    ]
    return "; ".join(predictions) + "."
