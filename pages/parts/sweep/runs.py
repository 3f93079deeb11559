"""The table of a sweep's runs."""

from typing import Any

import pandas as pd
import streamlit as st

from core.runs.comparison.settings import DENSITY, SEED, label_of, settings_of
from core.runs.run import Run
from core.runs.sweeps.points import Axes
from core.runs.sweeps.sweep import Sweep
from pages.parts.shared import shell
from pages.parts.shared.states import STATE_STYLES, signed_state


def draw_sweep_runs(sweep: Sweep, axes: Axes, has_budgets: bool) -> None:
    """Draw a row for each run that exists. A click on a row opens its run."""
    rows = _rows(sweep, axes)
    if not has_budgets:
        for row in rows:
            del row["Tested on"], row["Bytes"]
    if not rows:
        return
    event = st.dataframe(
        pd.DataFrame(rows).drop(columns="id"),
        hide_index=True,
        key="sweep_runs",
        column_config={
            "Run": st.column_config.TextColumn(width=300),
            "Test accuracy": st.column_config.NumberColumn(format="%.2f%%"),
            "Bytes": st.column_config.NumberColumn(format="localized"),
            label_of("budget.bytes"): st.column_config.NumberColumn(format="localized"),
            label_of(DENSITY): st.column_config.NumberColumn(format="percent"),
        },
        on_select="rerun",
        selection_mode="single-row",
        placeholder="—",
        alt="The runs of this sweep with their settings and accuracies",
    )
    if event["selection"]["rows"]:
        shell.open_run(rows[event["selection"]["rows"][0]]["id"])


def _rows(sweep: Sweep, axes: Axes) -> list[dict[str, Any]]:
    """Return a row for each run, with those of its settings that the chart tells apart."""
    names = [name for name in (axes.along, *axes.lines, SEED) if name is not None]
    rows: dict[str, dict[str, Any]] = {}
    for steps in sweep.members:
        for length, step in enumerate(steps, 1):
            if step.run is None:
                continue
            settings = settings_of(step.recipe for step in steps[:length])
            rows[step.run_id] = {
                "id": step.run_id,
                "Run": step.run.name,
                "Status": _status(step.run, step.could_not_fit),
                "Test accuracy": _percent(step.run),
                "Tested on": _tested_on(step.run),
                "Bytes": _packed_bytes(step.run),
                **{label_of(name): settings.get(name) for name in names},
            }
    return list(rows.values())


def _status(run: Run, could_not_fit: bool) -> str:
    """The run's state; that no file is small enough is an answer, and no failure of the run."""
    return f"{STATE_STYLES['failed'].sign} too large" if could_not_fit else signed_state(run)


def _tested_on(run: Run) -> str | None:
    summary = run.status.summary
    if summary is None:
        return None
    return f"half {summary.test_half}" if summary.test_half else "all test images"


def _packed_bytes(run: Run) -> int | None:
    summary = run.status.summary
    return None if summary is None else summary.packed_bytes


def _percent(run: Run) -> float | None:
    accuracy = run.status.test_accuracy
    return None if accuracy is None else 100 * accuracy
