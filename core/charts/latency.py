"""Draws how long a network takes in several forms: the median, and the slowest calls."""

import altair as alt
import pandas as pd

from core.deploy.latency_report import VARIANTS, BatchReport

_ROW = 44  # pixels for a form
_AXIS = 60  # pixels, with the title
_RULE_COLOUR = "#8a938d"  # readable on the light page and on the dark one
_WIDE_RANGE = 20  # of the slowest to the fastest, from which on a linear axis shows no short bars
_COLUMNS = ["name", "form", "median", "p25", "p75", "p95", "speedup", "low", "high"]


def latency_table(batch: BatchReport) -> pd.DataFrame:
    """Return a row for each form: name, form (in words), times in milliseconds, and speedup."""
    rows = [
        {"name": name, "form": VARIANTS.get(name, name), **latency.model_dump()}
        for name, latency in batch.latencies.variants.items()
    ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def is_log(table: pd.DataFrame) -> bool:
    """Whether the times differ so much that the axis is logarithmic."""
    return bool(table["p95"].max() > _WIDE_RANGE * table["median"].min())


def latency_chart(batch: BatchReport) -> alt.LayerChart:
    """Draw the median time of each form as a bar, with a whisker up to the 95th percentile.

    On a logarithmic axis, which has no zero for a bar to begin at, it is a point.
    """
    table = latency_table(batch)
    has_log_axis = is_log(table)
    scale = alt.Scale(type="log", nice=False) if has_log_axis else alt.Scale(zero=True)
    title = f"Milliseconds for a batch of {batch.batch}" + (", log scale" if has_log_axis else "")
    forms = table["form"].tolist()
    base = alt.Chart(table).encode(
        y=alt.Y("form:N", sort=forms, title=None, axis=alt.Axis(labelLimit=230)),
        tooltip=[
            alt.Tooltip("form:N", title="Form"),
            alt.Tooltip("median:Q", title="Median (ms)", format=".3~g"),
            alt.Tooltip("p95:Q", title="95th percentile (ms)", format=".3~g"),
            alt.Tooltip("speedup:Q", title="Times as fast", format=".2f"),
            alt.Tooltip("low:Q", title="At least (95%)", format=".2f"),
            alt.Tooltip("high:Q", title="At most (95%)", format=".2f"),
        ],
    )
    axis = alt.Axis(format="~r", tickCount=6)
    median = alt.X("median:Q", title=title, scale=scale, axis=axis)
    colour = alt.Color("form:N", scale=alt.Scale(domain=forms), legend=None)
    if has_log_axis:
        marked = base.mark_point(filled=True, size=140, opacity=1)
    else:
        marked = base.mark_bar(height={"band": 0.55})
    medians = marked.encode(x=median, color=colour)
    whiskers = base.mark_rule(color=_RULE_COLOUR, strokeWidth=2).encode(
        x=alt.X("median:Q", scale=scale), x2="p95:Q"
    )
    ends = base.mark_tick(color=_RULE_COLOUR, thickness=2, size=14).encode(
        x=alt.X("p95:Q", scale=scale)
    )
    # A point covers the beginning of its whisker; over a bar, the whisker is in front.
    layers = [whiskers, ends, medians] if has_log_axis else [medians, whiskers, ends]
    return alt.LayerChart(layer=layers).properties(height=_ROW * len(forms) + _AXIS)


def latency_alt_text(batch: BatchReport) -> str:
    """Describe the chart for people who cannot see it."""
    times = [
        f"{VARIANTS.get(name, name)} {latency.median:.3g} ms"
        for name, latency in batch.latencies.variants.items()
    ]
    return f"Median time for a batch of {batch.batch}: {'; '.join(times)}."
