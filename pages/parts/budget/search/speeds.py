"""A budget run with a limit of time: its figures, and the networks that it tried."""

from typing import Any

import streamlit as st

from core.config import BudgetRecipe
from core.events import Summary
from core.runs.budget import (
    EventRows,
    LimitOutcome,
    TriedSpeed,
    best_speed,
    chosen_speed,
    limit_outcome,
    tried_speeds,
)
from core.runs.run import Run
from core.runs.store import RunStore
from pages.parts.budget.search.figures import draw_accuracies, draw_sizes
from pages.parts.shared.metrics import draw_metric

_COLUMNS = {
    "number": st.column_config.NumberColumn("Number", pinned=True),
    "method": st.column_config.TextColumn("Channels chosen by"),
    "density": st.column_config.NumberColumn("Weights kept", format="percent"),
    "milliseconds": st.column_config.NumberColumn("An image (ms)", format="%.3f"),
    "speedup": st.column_config.NumberColumn("Times faster", format="%.2f"),
    "least": st.column_config.NumberColumn("At least (95%)", format="%.2f"),
    "most": st.column_config.NumberColumn("At most (95%)", format="%.2f"),
    "divergence": st.column_config.NumberColumn("KL divergence (nats)", format="%.4f"),
    "epochs": st.column_config.NumberColumn("Epochs of tuning"),
}


def draw_speed_result(store: RunStore, run: Run, recipe: BudgetRecipe) -> None:
    """Draw the figures that a run with a limit of time has so far."""
    summary = run.status.summary
    tried = tried_speeds(store.events(run.id))
    with st.container(horizontal=True, key="figures"):
        if summary is not None:
            draw_accuracies(run, summary)
            _draw_speed(recipe, summary)
            draw_sizes(summary)
        elif tried:
            _draw_best(best_speed(recipe, tried), len(tried))


def speed_sentence(recipe: BudgetRecipe, outcome: LimitOutcome, summary: Summary) -> str:
    """Say whether the limit of time is kept, with the measured figures."""
    figures = f"{_speed_text(summary)}, {_times_text(summary)}"
    if outcome.is_kept:
        return f"The limit of {recipe.faster:g}x is kept: {figures}."
    if outcome.slack >= 0:
        return (
            f"The limit of {recipe.faster:g}x is not certain: {figures}. The interval begins"
            f" {outcome.uncertain:.2f}x below it."
        )
    return f"The limit of {recipe.faster:g}x is missed by {-outcome.slack:.2f}x: {figures}."


def draw_speeds(run: Run, recipe: BudgetRecipe, events: EventRows) -> None:
    """Draw the networks that the search has tried so far. Call it again while it works."""
    from core.charts import speedups as charts  # imports altair

    tried = tried_speeds(events)
    if not tried:
        if run.active:
            st.skeleton(charts.HEIGHT)
            st.caption("The networks that are tried come here, the fastest one first.")
        return
    summary = run.status.summary
    chosen = None if summary is None else chosen_speed(tried, summary)
    table = charts.speedup_table(tried, None if chosen is None else chosen.number)
    alt = "Networks of the search" if run.active else charts.speedup_alt_text(table)
    st.subheader("What was tried", anchor=False)
    st.altair_chart(charts.speedup_chart(table, recipe.faster or 1), key="speedups", alt=alt)
    st.caption(
        f"{len(tried):,} tried: each point is the network without some of its channels, and its bar"
        " is the 95% interval of its speed. It is fast enough if the whole bar lies right of the"
        " dashed line."
    )
    with st.expander("As a table", icon=":material/table_rows:"):
        st.dataframe(
            _rows(tried), hide_index=True, key="speed_table", column_config=_COLUMNS, alt=alt
        )


def _rows(tried: list[TriedSpeed]) -> list[dict[str, Any]]:
    return [{name: getattr(made, name) for name in _COLUMNS} for made in tried]


def _speed_text(summary: Summary) -> str:
    assert summary.speedup_interval is not None, "a limit of time measures its result"
    least, most = summary.speedup_interval
    return f"{summary.speedup:.2f}x (95% {least:.2f} to {most:.2f})"


def _times_text(summary: Summary) -> str:
    return f"{summary.parent_milliseconds:.3g} ms -> {summary.milliseconds:.3g} ms"


def _draw_speed(recipe: BudgetRecipe, summary: Summary) -> None:
    outcome = limit_outcome(recipe, None, summary)
    if outcome is None or summary.speedup_interval is None:
        return
    least, most = summary.speedup_interval
    draw_metric(
        "Times faster",
        f"{summary.speedup:.2f}×",
        f"95%: {least:.2f} to {most:.2f}",
        "In the median round of both networks in turn, in float by ONNX Runtime on this machine,"
        " one image at a time, without the removed channels.",
    )
    draw_metric(
        "An image takes",
        f"{summary.milliseconds:.3g} ms",
        f"before: {summary.parent_milliseconds:.3g} ms",
        "The median call.",
    )
    words = "kept" if outcome.is_kept else "not certain" if outcome.slack >= 0 else "missed"
    draw_metric(
        "Limit", words, f"{recipe.faster:g}× faster", speed_sentence(recipe, outcome, summary)
    )


def _draw_best(best: TriedSpeed | None, count: int) -> None:
    """Draw the best network while the search works."""
    if best is None:
        draw_metric("Best so far", "—", "none is fast enough yet")
    else:
        draw_metric(
            "Best so far",
            f"{best.speedup:.2f}×",
            f"95%: {best.least:.2f} to {best.most:.2f}",
        )
        note = "tuned" if best.epochs else "not tuned"
        draw_metric("KL divergence", f"{best.divergence:.4f} nats", note)
    draw_metric("Candidates", f"{count:,}", "tried")
