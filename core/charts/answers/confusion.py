"""Draws confusion matrices, and the difference of two of them, as heatmaps."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from core.inspect.behaviour.confusion import ConfusionCounts

CELL = "cell"
"""The name of the parameter that holds the clicked cell, under the fields `label` and `answer`."""

_HEIGHT = 380
_MOST_NUMBERS = 12  # classes whose cells have room for a number
_MOST_EMPTY = 40  # classes whose empty cells are drawn, so that they can be clicked
_FEWER = "#2b6cb0"
_MORE = "#d9731a"
_HARDLY_FEWER = "rgba(43, 108, 176, 0.08)"
_HARDLY_MORE = "rgba(217, 115, 26, 0.08)"
_SHORT_NAME = 3  # characters that have room under a column
_FULL = 0.75  # of the darkest colour, from where on a number is white


def confusion_table(counts: "ConfusionCounts", classes: Sequence[str]) -> pd.DataFrame:
    """Return a row for each cell. label, answer: indices of the classes.

    true, predicted: their names. images: the count; of a difference it can be negative. strength:
    the root of the count as a share of the greatest one, with its sign, in [-1, 1]. With the root,
    a few wrong answers show beside many right ones.
    """
    labels, answers = np.indices(counts.shape).reshape(2, -1)
    table = pd.DataFrame({"label": labels, "answer": answers, "images": counts.ravel()})
    names = np.array(classes, object)
    table["true"] = names[labels]
    table["predicted"] = names[answers]
    if len(classes) > _MOST_EMPTY:
        table = table[table["images"] != 0]
    greatest = table["images"].abs().max() if len(table) else 0
    table["strength"] = np.sign(table["images"]) * np.sqrt(table["images"].abs() / max(greatest, 1))
    return table.reset_index(drop=True)


def confusion_chart(
    table: pd.DataFrame, classes: Sequence[str], title: str, *, is_dark: bool
) -> alt.LayerChart:
    """Draw the matrix of one model. is_dark: whether the page is."""
    scale = alt.Scale(domain=[0, 1], range=[_HARDLY_FEWER, _FEWER], interpolate="rgb")
    return _heatmap(_with_text(table, "d"), classes, title, scale, is_dark)


def difference_chart(
    table: pd.DataFrame, classes: Sequence[str], title: str, *, is_dark: bool
) -> alt.LayerChart:
    """Draw the difference of two matrices, on a scale around 0. A click on a cell selects it."""
    # Two scales in one, so that each colour fades by itself and does not turn grey.
    colours = [_FEWER, _HARDLY_FEWER, _HARDLY_MORE, _MORE]
    scale = alt.Scale(domain=[-1, -0.001, 0.001, 1], range=colours, interpolate="rgb")
    selection = alt.selection_point(
        name=CELL, fields=["label", "answer"], on="click", toggle=False, empty=False
    )
    return _heatmap(_with_text(table, "+d"), classes, title, scale, is_dark, selection)


def _with_text(table: pd.DataFrame, number_format: str) -> pd.DataFrame:
    texts = [
        format(count, number_format).replace("-", "−") if count else "" for count in table["images"]
    ]
    return table.assign(text=texts)


def _heatmap(
    table: pd.DataFrame,
    classes: Sequence[str],
    title: str,
    scale: alt.Scale,
    is_dark: bool,
    selection: alt.Parameter | None = None,
) -> alt.LayerChart:
    base = alt.Chart(table).encode(
        x=_axis(alt.X, "predicted:N", "Answer", classes, _label_angle(classes)),
        y=_axis(alt.Y, "true:N", "True class", classes),
        tooltip=[
            alt.Tooltip("true:N", title="True class"),
            alt.Tooltip("predicted:N", title="Answer"),
            alt.Tooltip("images:Q", title="Images"),
        ],
    )
    cells = base.mark_rect(cursor="pointer" if selection is not None else "default").encode(
        color=alt.Color("strength:Q", scale=scale, legend=None)
    )
    if selection is not None:
        edge = alt.value("#e6ece7" if is_dark else "#1d2721")
        cells = cells.encode(
            stroke=alt.when(selection).then(edge).otherwise(alt.value(None)),
            strokeWidth=alt.value(2),
        )
        cells = cells.add_params(selection)
    layers: list[Any] = [cells]
    if len(classes) <= _MOST_NUMBERS:
        layers.append(_numbers(base, is_dark))
    return alt.LayerChart(layer=layers).properties(height=_HEIGHT, title=title)


def _label_angle(classes: Sequence[str]) -> int:
    is_short = len(classes) <= _MOST_NUMBERS and max(map(len, classes)) <= _SHORT_NAME
    return 0 if is_short else -90


def _axis(channel: Any, field: str, title: str, classes: Sequence[str], angle: int = 0) -> Any:
    axis = alt.Axis(labelLimit=90, ticks=False, domain=False, labelFlush=False, labelAngle=angle)
    return channel(field, sort=list(classes), title=title, axis=axis)


def _numbers(base: alt.Chart, is_dark: bool) -> alt.Chart:
    usual = "#e6ece7" if is_dark else "#1d2721"
    is_full = f"abs(datum.strength) > {_FULL}"
    return base.mark_text(fontSize=11).encode(
        text="text:N",
        color=alt.condition(is_full, alt.value("#ffffff"), alt.value(usual)),
    )


def confusion_alt_text(table: pd.DataFrame) -> str:
    """Describe a heatmap for people who cannot see it: its greatest cells beside the diagonal."""
    wrong = table[(table["label"] != table["answer"]) & (table["images"] != 0)]
    order = wrong["images"].abs().sort_values(ascending=False, kind="stable").index[:3]
    cells = [
        f"{row['true']} taken for {row['predicted']}: {row['images']}"
        for row in wrong.loc[order].to_dict("records")
    ]
    return f"Confusion of the classes; {', '.join(cells) or 'none'}."
