"""The picked runs: how charts let a person pick some, and how they mark them."""

from collections.abc import Collection
from typing import Any

import altair as alt

PICKED = "picked"
"""The name of a chart's parameter that holds the clicked runs, under the field `id`."""

BRUSHED = "brushed"
"""The name of a chart's parameter that holds a rectangle: the ends of `x` and of `y`."""

RING = "#d9731a"
"""The colour of the ring around a picked run; readable on the light page and on the dark one."""


def click_selection(picked: Collection[str]) -> alt.Parameter:
    """Return the parameter of clicks on runs, and with Shift on further ones.

    picked: ids of the runs that are picked from the start.
    """
    start: Any = [{"id": run_id} for run_id in picked]
    return alt.selection_point(
        name=PICKED,
        fields=["id"],
        on="click",
        toggle="event.shiftKey",
        empty=False,
        **({"value": start} if start else {}),
    )


def brush_selection() -> alt.Parameter:
    """Return the parameter of a rectangle that is drawn with the mouse."""
    mark = alt.BrushConfig(fill=RING, fillOpacity=0.12, stroke=RING, strokeOpacity=0.6)
    return alt.selection_interval(name=BRUSHED, empty=False, mark=mark)


def line_marks(picked: Collection[str]) -> dict[str, Any]:
    """Return the encodings that make the lines of picked runs thick; none if none is picked."""
    if not picked:
        return {}
    is_picked = alt.FieldOneOfPredicate(field="id", oneOf=list(picked))
    return {"strokeWidth": alt.when(is_picked).then(alt.value(4)).otherwise(alt.value(1))}
