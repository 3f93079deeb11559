"""What several networks take one picture for, as bars."""

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
import pandas as pd

CLASSES = 5  # the likeliest ones; more would push what follows off the screen
BAR, GAP, AROUND, LEGEND = 15, 8, 55, 22  # pixels of a bar, between classes, of the axis, of a line of the legend


def chart(classes: Sequence[str], probabilities: Mapping[str, np.ndarray], label: str | None = None) -> alt.LayerChart:
    """Probability by class, the likeliest on top; a bar a network, by its name.

    probabilities: (classes,) in [0, 1] each. label: the class that the picture belongs to, where that is known.
    """
    rows = frame(classes, probabilities, label)
    shown, networks = rows["class"].unique().tolist(), list(probabilities)
    base = alt.Chart(rows).encode(
        y=alt.Y("class:N", sort=shown, title=None, axis=alt.Axis(labelLimit=160, ticks=False, domain=False)),
        yOffset=alt.YOffset("network:N", sort=networks),
        tooltip=[alt.Tooltip("class:N", title="Class"), alt.Tooltip("network:N", title="Network"),
                 alt.Tooltip("probability:Q", title="Probability", format=".2%")])
    legend = alt.Legend(orient="top", title=None, labelLimit=320, columns=1) if len(networks) > 1 else None
    bars = base.mark_bar().encode(
        x=alt.X("probability:Q", title="Probability",
                axis=alt.Axis(format="%", grid=False, values=[0, 0.25, 0.5, 0.75, 1]),
                scale=alt.Scale(domain=[0, 1.12], nice=False)),
        color=alt.Color("network:N", sort=networks, legend=legend))
    figures = base.mark_text(align="left", dx=4, fontSize=11, color="#808a84").encode(
        x="probability:Q", text=alt.Text("probability:Q", format=".1%"))
    return alt.layer(bars, figures).properties(
        height=len(shown) * (BAR * len(networks) + GAP) + AROUND + (LEGEND * len(networks) if legend else 0))


def frame(classes: Sequence[str], probabilities: Mapping[str, np.ndarray], label: str | None = None) -> pd.DataFrame:
    """One row a class and network: class, network, probability; the likeliest classes, and the label."""
    best = np.max(list(probabilities.values()), 0)
    order = [int(index) for index in np.argsort(-np.nan_to_num(best), kind="stable")]
    chosen = order[:CLASSES]
    if label in classes and classes.index(label) not in chosen:
        chosen = [*chosen[:-1], classes.index(label)]
    return pd.DataFrame([{"class": f"✓ {classes[index]}" if classes[index] == label else classes[index],
                          "network": name, "probability": float(values[index])}
                         for index in chosen for name, values in probabilities.items()])


def described(classes: Sequence[str], probabilities: Mapping[str, np.ndarray]) -> str:
    """The chart in a sentence, for who cannot see it."""
    return "; ".join(f"{name} says {classes[int(np.argmax(values))]} with {np.max(values):.1%}"
                     for name, values in probabilities.items()) + "."
