"""Draws the search of a budget as it grows: what each candidate costs in bytes and in answers.

Nothing here needs torch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt
import pandas as pd

from core.charts.compare.colours import GREY
from core.charts.compare.picks import RING
from core.runs.budget import TriedCandidate
from core.runs.comparison.frontier import frontier

Cost = Literal["divergence", "most_lost"]
"""What the answers of a candidate cost: the divergence from the float network, or accuracy, for
which the end of its 95% interval stands, as a limit is held against that.
"""

SELECTION = "candidate"
"""The name of the chart's parameter that holds the clicked candidate, under the field `number`."""

HEIGHT = 340  # pixels
_LEAST = 1e-6  # nats; the log scale shows no less
_POWERS = [10.0**power for power in range(-6, 3)]  # where the log scale has its lines
_POINTS = [-5, -2, -1, -0.5, 0, 0.5, 1, 2, 5, 10, 20, 50, 100]
_LINEAR_POINTS = 0.5
"""Points up to which the scale of accuracy is about linear."""

_DASHES = [5, 4]
_COLUMNS = ["number", "bytes", "cost", "divergence", "lost", "most_lost", "state", "epochs", "best"]
_STATES = {"tuned": "diamond", "not tuned": "circle"}


@dataclass(frozen=True)
class BudgetMarks:
    """What is marked in the chart: numbers of candidates, and the limit.

    picked: the candidate whose layers are shown. chosen: the one with which the run ended.
    bytes, lost: the limit in bytes or in percentage points. None for what there is not.
    """

    picked: int | None = None
    chosen: int | None = None
    bytes: int | None = None
    lost: float | None = None


_TITLES: dict[Cost, str] = {
    "divergence": "KL divergence from the float network (nats)",
    "most_lost": "Points of accuracy lost on half A, at most (95%)",
}


def frontier_table(tried: Sequence[TriedCandidate], cost: Cost) -> pd.DataFrame:
    """Return a row for each candidate that has the cost, in the order in which they were tried.

    Columns: number and bytes; cost, as it is drawn; divergence in nats; lost and most_lost in
    percentage points, None if not measured; state, "tuned" or "not tuned"; epochs of tuning; best,
    whether it is on the Pareto frontier. A divergence that is no number is left out.
    """
    rows = []
    for made in tried:
        value = getattr(made, cost)
        if value is None or not math.isfinite(value):
            continue
        drawn = max(value, _LEAST) if cost == "divergence" else value
        state = "tuned" if made.epochs else "not tuned"
        figures = (made.divergence, made.lost, made.most_lost, state, made.epochs)
        rows.append([made.number, made.bytes, drawn, *figures, False])
    for index in frontier([(row[1], row[2]) for row in rows], more_y=False):
        rows[index][-1] = True
    # As objects, in which None stays None: a browser does not read NaN.
    return pd.DataFrame(rows, columns=_COLUMNS, dtype=object)


def frontier_chart(table: pd.DataFrame, cost: Cost, marks: BudgetMarks) -> alt.LayerChart:
    """Draw the candidates, their Pareto frontier as steps, and the limit.

    table: the result of `frontier_table`. A click on a candidate selects it.
    """
    selection = alt.selection_point(name=SELECTION, fields=["number"], on="click", empty=False)
    base = alt.Chart().encode(x=_bytes_axis(), y=_cost_axis(cost), tooltip=_tooltip())
    steps = base.transform_filter(alt.datum.best).mark_line(
        interpolate="step-after", strokeWidth=1.5, color=GREY
    )
    points = base.mark_point(filled=True, opacity=0.9, cursor="pointer").encode(
        shape=_state_encoding(alt.Shape, list(_STATES.values())),
        color=_state_encoding(alt.Color),
        size=alt.when(alt.datum.best).then(alt.value(110)).otherwise(alt.value(45)),
        order="number:Q",
    )
    # By default Altair names the data by its hash, and a browser draws a changed chart anew. With a
    # fixed name it moves the points.
    return alt.LayerChart(
        layer=[
            *_limit_layers(marks),
            steps.encode(tooltip=alt.value(None)),
            _ring(base),  # below the points, which take the clicks
            points.add_params(selection),
            _words_at_result(base),
        ],
        data=alt.NamedData("tried"),
        datasets={
            "tried": _marked_rows(table, marks),
            "limit": _limit_rows(marks, cost),
        },
    ).properties(height=HEIGHT)


def frontier_alt_text(table: pd.DataFrame, cost: Cost) -> str:
    """Describe the chart for people who cannot see it."""
    best = table[table["best"]].sort_values("bytes")
    texts = [f"{row.bytes:,} bytes at {row.cost:.3g}" for row in best.itertuples()]
    return (
        f"{_TITLES[cost]} against bytes of the packed file of {len(table)} candidates; on the"
        f" Pareto frontier: {', '.join(texts)}."
    )


# -- the axes --


def _bytes_axis() -> alt.X:
    axis = alt.Axis(format="~s", grid=False, labelFlush=False, tickCount=6)
    return alt.X(
        "bytes:Q", title="Packed file (bytes)", scale=alt.Scale(zero=False, padding=20), axis=axis
    )


def _cost_axis(cost: Cost) -> alt.Y:
    """Return the axis. Its scale shows small figures apart, beside a file that loses all."""
    if cost == "divergence":
        axis = alt.Axis(format="~g", labelFlush=False, values=_POWERS)
        return alt.Y(
            "cost:Q", title=_TITLES[cost], scale=alt.Scale(type="log", padding=15), axis=axis
        )
    # Words, because the format of a number depends on the distance to the next one.
    axis = alt.Axis(labelExpr="'' + datum.value", labelFlush=False, values=_POINTS)
    scale = alt.Scale(type="symlog", constant=_LINEAR_POINTS, padding=15, nice=False)
    return alt.Y("cost:Q", title=_TITLES[cost], scale=scale, axis=axis)


def _state_encoding(channel: Any, values: list[str] | None = None) -> Any:
    """Return the encoding that tells tuned candidates from the others."""
    legend = alt.Legend(title=None, orient="top")
    scale = alt.Scale(domain=list(_STATES), range=alt.Undefined if values is None else values)
    return channel("state:N", scale=scale, legend=legend)


def _tooltip() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("number:Q", title="Candidate", format="d"),
        alt.Tooltip("bytes:Q", title="Packed file (bytes)", format=",d"),
        alt.Tooltip("divergence:Q", title="KL divergence (nats)", format=".4~g"),
        alt.Tooltip("lost_text:N", title="Lost on half A"),
        alt.Tooltip("epochs:Q", title="Epochs of tuning", format="d"),
        alt.Tooltip("mark:N", title="Marked as"),
    ]


# -- what is marked --


def _marked_rows(table: pd.DataFrame, marks: BudgetMarks) -> list[dict[Any, Any]]:
    """Return the rows with the words for what is marked, and the loss as text."""
    rows: list[dict[Any, Any]] = table.to_dict("records")
    for row in rows:
        is_chosen = row["number"] == marks.chosen
        row["mark"] = "the result" if is_chosen else "on the frontier" if row["best"] else "—"
        row["chosen"] = is_chosen
        row["picked"] = row["number"] == marks.picked
        row["lost_text"] = "—"
        if row["lost"] is not None:
            row["lost_text"] = f"{row['lost']:.2f} points, at most {row['most_lost']:.2f}"
    return rows


def _ring(base: alt.Chart) -> alt.Chart:
    """Return a ring around the picked candidate."""
    picked = base.transform_filter(alt.datum.picked)
    return picked.mark_point(filled=False, size=320, strokeWidth=2.5, color=RING)


def _words_at_result(base: alt.Chart) -> alt.Chart:
    """Return the word at the candidate with which the run ended."""
    chosen = base.transform_filter(alt.datum.chosen)
    return chosen.mark_text(
        text="result", align="right", dx=-12, dy=14, fontWeight="bold", color=GREY
    )


def _limit_rows(marks: BudgetMarks, cost: Cost) -> list[dict[str, Any]]:
    """Return one row with the limit, if there is one in this chart."""
    if marks.bytes is not None:
        return [{"bytes": marks.bytes}]
    if marks.lost is not None and cost == "most_lost":
        return [{"cost": marks.lost}]
    return []


def _limit_layers(marks: BudgetMarks) -> list[alt.Chart]:
    """Return a dashed line at the limit, and the word for it."""
    limit = alt.Chart(alt.NamedData("limit"))
    rule = limit.mark_rule(color=GREY, strokeDash=_DASHES)
    if marks.bytes is not None:
        text = limit.mark_text(text="limit", align="right", dx=-5, baseline="top", color=GREY)
        tooltip = [alt.Tooltip("bytes:Q", title="Limit (bytes)", format=",d")]
        x = alt.X("bytes:Q")
        return [rule.encode(x=x, tooltip=tooltip), text.encode(x=x, y=alt.value(4))]
    tooltip = [alt.Tooltip("cost:Q", title="Limit (points)")]
    text = limit.mark_text(text="limit", align="right", dy=-8, color=GREY)
    y = alt.Y("cost:Q")
    return [
        rule.encode(y=y, tooltip=tooltip),
        text.encode(y=y, x=alt.value("width"), tooltip=alt.value(None)),
    ]
