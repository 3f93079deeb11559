"""The colours of runs: the same run has the same colour in every chart of a comparison."""

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import altair as alt

if TYPE_CHECKING:
    from core.runs.comparison.compared import ComparedRun

MOST_COLOURS = 7
"""The theme has so many colours. The last one is a grey, which is not used beside `GREY`."""

GREY = "#8a938d"
"""Of everything that has no colour of its own; readable on the light page and on the dark one."""

_LONG_NAME = 28  # characters


def coloured_names(runs: "Sequence[ComparedRun]", picked: Collection[str] = ()) -> list[str]:
    """Return the names of the runs that get a colour, in the order of `runs`.

    If there are more runs than colours, those that are picked get one, then those with the highest
    test accuracy, and the others are grey. picked: ids of runs.
    """
    if len(runs) <= MOST_COLOURS:
        return [run.name for run in runs]

    def order(run: "ComparedRun") -> tuple[bool, float]:
        return run.id in picked, run.figures.accuracy or 0.0

    best = sorted(runs, key=order, reverse=True)
    ids = {run.id for run in best[: MOST_COLOURS - 1]}
    return [run.name for run in runs if run.id in ids]


def run_colour(names: Sequence[str]) -> dict[str, Any]:
    """Return the encodings: a colour for each run in `names`, and a pale grey for all others."""
    legend = alt.Legend(
        title=None,
        orient="bottom",
        direction="vertical",
        columns=_legend_columns(names),
        labelLimit=300,
        symbolType="stroke",
        symbolStrokeWidth=3,
        symbolOpacity=1,
    )
    colour = alt.Color("run:N", scale=alt.Scale(domain=list(names)), legend=legend)
    is_coloured = alt.FieldOneOfPredicate(field="run", oneOf=list(names))
    return {
        "color": alt.when(is_coloured).then(colour).otherwise(alt.value(GREY)),
        "opacity": alt.when(is_coloured).then(alt.value(1)).otherwise(alt.value(0.4)),
    }


def legend_height(names: Sequence[str]) -> int:
    """Return the pixels that the legend of these runs takes."""
    return 22 * math.ceil(len(names) / _legend_columns(names)) + 30


def _legend_columns(names: Sequence[str]) -> int:
    """Return one column for names that are too long for two on a narrow screen."""
    return 1 if len(names) < 3 or max(map(len, names)) > _LONG_NAME else 2
