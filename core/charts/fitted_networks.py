"""Draws the networks of a sweep that were fitted into budgets: accuracy against bytes."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from core.charts.compare.colours import GREY
from core.charts.compare.picks import RING
from core.models.outside.files import plain_name
from core.runs.sweeps.budgets.best import BestWithin
from core.runs.sweeps.budgets.fitted import FittedNetwork

FITTED_HEIGHT = 380  # pixels
_COLUMNS = ["model", "density", "bytes", "half_b", "half_a", "name", "run", "best", "note"]
_MOST_SHAPES = 6
_DASHES = [5, 4]


def fitted_table(fitted: Sequence[FittedNetwork], best: Sequence[BestWithin]) -> pd.DataFrame:
    """Return a row for each network.

    model: its name, with that of the data set where there are several. density: in words. bytes: of
    the packed file. half_b, half_a: accuracies on the two halves of the test images, in [0, 1],
    half_a None if not recorded. name, run: of the run. best: whether it is the best within a limit.
    note: whether it is no better than guessing.
    """
    best_runs = {answer.best.run.id for answer in best if answer.best is not None}
    datasets = {made.summary.dataset for made in fitted}
    rows = []
    for made in fitted:
        summary = made.summary
        model = plain_name(summary.model)
        rows.append(
            {
                "model": model if len(datasets) == 1 else f"{model}, {summary.dataset}",
                "density": f"{100 * made.density:.3g}%",
                "bytes": made.bytes,
                "half_b": summary.test_accuracy,
                "half_a": summary.half_a_accuracy,
                "name": made.run.name,
                "run": made.run.id,
                "best": made.run.id in best_runs,
                "note": "no better than guessing" if summary.guessing else "",
            }
        )
    # As objects, in which None stays None: a browser does not read NaN.
    return pd.DataFrame(rows, columns=_COLUMNS, dtype=object)


def fitted_chart(table: pd.DataFrame, best: Sequence[BestWithin]) -> alt.LayerChart:
    """Draw a point for each network, a ring around the best ones, and limits as dashed lines.

    table: the result of `fitted_table`. Limits that depend on the network are not drawn.
    """
    base = alt.Chart(alt.NamedData("fitted")).encode(x=_bytes_axis(), y=_accuracy_axis())
    points = base.mark_point(filled=True, size=90, opacity=0.9).encode(
        color=_color(table), tooltip=_tooltip(), **_shapes(table)
    )
    ring = base.transform_filter(alt.datum.best)
    chart = alt.LayerChart(
        layer=[
            *_limit_layers(),
            ring.mark_point(filled=False, size=320, strokeWidth=2.5, color=RING),
            points,
            ring.mark_text(text="best", dy=-17, fontWeight="bold", color=GREY),
        ],
        datasets={"fitted": table.to_dict("records"), "limits": _limit_rows(best)},
    )
    return chart.properties(height=FITTED_HEIGHT)


def _bytes_axis() -> alt.X:
    axis = alt.Axis(format="~s", grid=False, labelFlush=False, tickCount=6)
    scale = alt.Scale(zero=False, padding=24)
    return alt.X("bytes:Q", title="Packed file (bytes)", scale=scale, axis=axis)


def _accuracy_axis() -> alt.Y:
    axis = alt.Axis(format="~%", labelFlush=False)
    scale = alt.Scale(zero=False, padding=28)
    return alt.Y("half_b:Q", title="Accuracy on half B", scale=scale, axis=axis)


def _color(table: pd.DataFrame) -> alt.Color:
    models = list(dict.fromkeys(table["model"]))
    legend = alt.Legend(title=None, orient="top", columns=4, symbolOpacity=1)
    return alt.Color("model:N", scale=alt.Scale(domain=models), legend=legend)


def _shapes(table: pd.DataFrame) -> dict[str, Any]:
    """Return a shape for each density, as far as there are shapes; the tooltip has it anyway."""
    densities = sorted(set(table["density"]), key=lambda text: -float(text.rstrip("%")))
    if not 1 < len(densities) <= _MOST_SHAPES:
        return {}
    legend = alt.Legend(title="Density", orient="bottom", columns=3, titleOrient="left")
    return {"shape": alt.Shape("density:N", scale=alt.Scale(domain=densities), legend=legend)}


def _tooltip() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("name:N", title="Run"),
        alt.Tooltip("model:N", title="Network"),
        alt.Tooltip("density:N", title="Density"),
        alt.Tooltip("bytes:Q", title="Packed file (bytes)", format=",d"),
        alt.Tooltip("half_b:Q", title="Accuracy on half B, reported", format=".2%"),
        alt.Tooltip("half_a:Q", title="Accuracy on half A, which chooses", format=".2%"),
        alt.Tooltip("note:N", title="Note"),
    ]


def _limit_rows(best: Sequence[BestWithin]) -> list[dict[str, Any]]:
    """Return a row for each limit in bytes."""
    limits = {answer.limit.value for answer in best if answer.limit.field == "bytes"}
    return [{"bytes": limit, "words": f"{int(limit):,}"} for limit in sorted(limits)]


def _limit_layers() -> list[alt.Chart]:
    """Return a dashed line at each limit, with its number of bytes."""
    limits = alt.Chart(alt.NamedData("limits")).encode(x=alt.X("bytes:Q"))
    tooltip = [alt.Tooltip("bytes:Q", title="Limit (bytes)", format=",d")]
    text = limits.mark_text(baseline="bottom", color=GREY)
    return [
        limits.mark_rule(color=GREY, strokeDash=_DASHES).encode(tooltip=tooltip),
        text.encode(y=alt.value(-4), text="words:N"),  # above the picture, where no point is
    ]
