"""How weights are distributed: histograms and the original's scatter plot to explore, and a figure of them to keep.

The first network is blue and the second orange. What repeats, as quantized weights do, stands as spikes at its exact
values. Zeros are a mark of their own above all others, as many as they may be.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import altair as alt
import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer
    from matplotlib.figure import Figure

    from core.inspect.distributions import Drawn, Marks
    from core.inspect.levels import Levels

View = Literal["Histogram", "Scatter"]

HEIGHT = 400
ERROR = "B − A"
_FLOOR = 0.6  # where bars begin on a logarithmic scale, so that a single weight is seen
_COLOURS = ("tab:blue", "tab:orange", "tab:green")
_COLUMNS = ["model", "low", "high", "middle", "weights", "share", "value"]


def chart(shown: Mapping[str, "Drawn"], names: list[str], view: View, log: bool, x: str = "Weight value",
          height: int = HEIGHT) -> alt.LayerChart:
    """Numbers of weights by value, of a model or of two in one picture.

    shown: by name. names: of all that have a colour, in the order of the colours. log: the scale of the numbers.
    Drag to move and turn the wheel to zoom, along the values only; a double click goes back.
    """
    rows, zeros, domain = frame(shown, view), zero_frame(shown), _domain(shown)
    field, most = "middle:Q" if view == "Scatter" else "low:Q", rows["weights"].max() if len(rows) else 1
    places = _values_axis(field, domain, x), _numbers_axis(most, log, room=len(zeros) > 0)
    exact = rows["low"] == rows["high"]
    parts = [_marked(_base(part, list(shown), names, *places), kind, view, log)
             for kind, part in (("bins", rows[~exact]), ("levels", rows[exact])) if len(part)]
    parts += _zeros(zeros, names, _values_axis("low:Q", domain, x))
    return alt.layer(*parts).interactive(name="zoom", bind_y=False).properties(height=height)


def frame(shown: Mapping[str, "Drawn"], view: View) -> pd.DataFrame:
    """One row a mark: model, low, high, middle, weights, share of all the model's weights, and the value in words."""
    parts = [pd.DataFrame({"model": name, "low": marks.low, "high": marks.high, "middle": marks.middle,
                           "weights": marks.counts, "share": marks.counts / drawn.summary.numbers,
                           "value": _values(marks)})
             for name, drawn in shown.items() for marks in [_marks(drawn, view)] if len(marks.low)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=_COLUMNS)


def zero_frame(shown: Mapping[str, "Drawn"]) -> pd.DataFrame:
    """One row for each model that has zeros: model, low (0), weights, share, and their number in words."""
    rows = [{"model": name, "low": 0, "weights": item.summary.zeros, "share": item.summary.zeros / item.summary.numbers,
             "words": f"▼ {item.summary.zeros:,} zeros"} for name, item in shown.items() if item.summary.zeros]
    return pd.DataFrame(rows, columns=["model", "low", "weights", "share", "words"])


def codebook(levels: "Levels", name: str, names: list[str]) -> alt.Chart:
    """How many weights each level carries, a bar a level in the order of their values."""
    rows = level_frame(levels).assign(model=name)
    title = "Integer value, which each channel scales" if levels.kind == "channels" else "Value of the level"
    return alt.Chart(rows).mark_bar().encode(
        x=alt.X("value:O", title=title, axis=alt.Axis(format=".3~g", labelOverlap=True, labelAngle=-45)),
        y=alt.Y("weights:Q", title="Weights", axis=alt.Axis(format="~s", tickCount=5)),
        color=_colour(names, None),
        tooltip=[alt.Tooltip("value:Q", title="Value", format=".9~g"),
                 alt.Tooltip("weights:Q", title="Weights", format=",d"),
                 alt.Tooltip("share:Q", title="Share", format=".3%")],
    ).properties(height=220)


def level_frame(levels: "Levels") -> pd.DataFrame:
    """One row a level: value, weights, share of the layer's weights."""
    total = levels.counts.sum() + levels.pinned
    return pd.DataFrame({"value": levels.values, "weights": levels.counts, "share": levels.counts / total})


def described(shown: Mapping[str, "Drawn"], what: str) -> str:
    """The chart in a sentence, for who cannot see it."""
    parts = [f"{name} has {drawn.summary.numbers:,} weights from {drawn.summary.low:.3g} to {drawn.summary.high:.3g}, "
             f"{drawn.summary.zeros:,} of them zero, {drawn.summary.unique:,} different"
             for name, drawn in shown.items()]
    return f"{what}: {'; '.join(parts)}."


def csv(shown: Mapping[str, "Drawn"], view: View) -> bytes:
    """The marks of a chart and the zeros, exactly: model, low, high, weights."""
    parts = [frame(shown, view), zero_frame(shown).assign(high=0)]
    rows = pd.concat([part[["model", "low", "high", "weights"]] for part in parts if len(part)])
    return rows.to_csv(index=False).encode()


def figure(shown: Mapping[str, "Drawn"], names: list[str], view: View, log: bool, title: str,
           x: str = "weight value") -> "Figure":
    """The same picture for a file."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(9, 5), layout="constrained")
    axes, handles = drawn.subplots(), []
    for name, item in shown.items():
        marks, colour = _marks(item, view), _COLOURS[names.index(name)]
        zeros = f", {item.summary.zeros:,} zeros apart" if item.summary.zeros else ""
        how = marks.how if len(marks.low) else "all zero"
        handles.append(_draw(axes, marks, view, _FLOOR if log else 0, color=colour,
                             label=f"{name}: {item.summary.numbers:,} weights, {how}{zeros}"))
    axes.set(xlabel=x, ylabel="frequency (weights)", title=title, xlim=_domain(shown))
    if log:
        axes.set(yscale="log")
        axes.set_ylim(bottom=_FLOOR)
    drawn.legend(handles=handles, fontsize=8, loc="outside lower center")
    return drawn


def _draw(axes: "Axes", marks: "Marks", view: View, floor: float, **look) -> "Artist | BarContainer":
    """The marks, as what stands for them in the legend."""
    if view == "Scatter":
        return axes.scatter(marks.middle, marks.counts, s=9, alpha=0.7, **look)
    if marks.exact:
        return axes.vlines(marks.low, floor, marks.counts, linewidth=2, alpha=0.85, **look)
    return axes.bar(marks.low, marks.counts - floor, marks.high - marks.low, floor, align="edge", alpha=0.6, **look)


def _marks(drawn: "Drawn", view: View) -> "Marks":
    return drawn.scatter if view == "Scatter" else drawn.histogram


def _values(marks: "Marks") -> list[str]:
    return [f"{low:.9g}" if low == high else f"{low:.6g} to {high:.6g}"
            for low, high in zip(marks.low, marks.high, strict=True)]


def _values_axis(field: str, domain: list[float], title: str) -> alt.X:
    return alt.X(field, title=title, scale=alt.Scale(domain=domain, nice=False),
                 axis=alt.Axis(format="~g", tickCount=8))


def _numbers_axis(most: int, log: bool, room: bool) -> alt.Y:
    """room: leave some above the highest mark, for the arrows to zero."""
    if not log:
        return alt.Y("weights:Q", title="Weights", axis=alt.Axis(format="~s", tickCount=5),
                     scale=alt.Scale(domain=[0, most * (1.3 if room else 1.02)], nice=False))
    decades = [10**power for power in range(12) if 10**power <= most * 10]
    return alt.Y("weights:Q", title="Weights, log scale", axis=alt.Axis(format="~s", values=decades),
                 scale=alt.Scale(type="log", domain=[_FLOOR, most * (10 if room else 1.2)], nice=False))


def _base(rows: pd.DataFrame, shown: list[str], names: list[str], x: alt.X, y: alt.Y) -> alt.Chart:
    """Position, colour and words of every mark but the zeros."""
    legend = alt.Legend(orient="top", title=None, labelLimit=420, symbolType="square", columns=1, values=shown)
    return alt.Chart(rows).encode(
        x=x, y=y, color=_colour(names, legend),
        tooltip=[alt.Tooltip("model:N", title="Model"), alt.Tooltip("value:N", title="Value"),
                 alt.Tooltip("weights:Q", title="Weights", format=",d"),
                 alt.Tooltip("share:Q", title="Share", format=".3%")])


def _marked(base: alt.Chart, kind: str, view: View, log: bool) -> alt.Chart:
    """As points in the middle, bars over the bins, or spikes at the levels."""
    if view == "Scatter":
        return base.mark_point(filled=True, size=22, opacity=0.75, clip=True)
    floor = alt.Y2Datum(_FLOOR if log else 0)
    if kind == "bins":
        return base.mark_rect(opacity=0.6, clip=True).encode(x2="high:Q", y2=floor)
    return base.mark_rule(strokeWidth=2.5, opacity=0.85, clip=True).encode(y2=floor)


def _zeros(rows: pd.DataFrame, names: list[str], x: alt.X) -> list[alt.Chart]:
    """An arrow down to zero for each model that has zeros, with their number."""
    return [alt.Chart(rows[place:place + 1]).mark_text(align="left", dx=-5, fontSize=12, clip=True).encode(
        x=x, y=alt.value(10 + 18 * place), text="words:N", color=_colour(names, None),
        tooltip=[alt.Tooltip("model:N", title="Model"), alt.Tooltip("weights:Q", title="Exactly 0", format=",d"),
                 alt.Tooltip("share:Q", title="Share", format=".3%")]) for place in range(len(rows))]


def _colour(names: list[str], legend: alt.Legend | None) -> alt.Color:
    return alt.Color("model:N", scale=alt.Scale(domain=names), legend=legend)


def _domain(shown: Mapping[str, "Drawn"]) -> list[float]:
    """From the least to the greatest value of all, with a little room."""
    low = min(drawn.summary.low for drawn in shown.values())
    high = max(drawn.summary.high for drawn in shown.values())
    room = 0.02 * (high - low) or 0.1 * max(abs(low), 1e-6)
    return [float(np.float64(low) - room), float(np.float64(high) + room)]
