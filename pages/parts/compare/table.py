"""The table in which runs are chosen."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from core.runs.comparison.compared import ComparedRun, compared_runs, method_of
from core.runs.comparison.figures import METRICS
from core.runs.run import Run
from pages.parts.compare.chosen import MOST_RUNS, choose_of_listed, choose_runs, chosen_runs
from pages.parts.compare.picked import picked_ids
from pages.parts.shared.accuracies import INTERVAL_HELP
from pages.parts.shared.states import STATE_STYLES, signed_state

_TABLE = "compare_table"
_LISTED = "compare_listed"
_ROW = 35  # pixels
_MOST_ROWS = 8  # that are visible at once

_COLUMNS = {
    "picked": st.column_config.TextColumn("Picked", width=65, help="Picked in a chart."),
    "name": st.column_config.TextColumn("Name", width=230),
    "accuracy": st.column_config.NumberColumn(
        "Test accuracy",
        format="%.2f%%",
        help=f"{METRICS['accuracy'].description} {INTERVAL_HELP}",
    ),
    "size": st.column_config.NumberColumn(
        "On disk", format="%.1f kB", help=METRICS["bytes"].description
    ),
    "density": st.column_config.NumberColumn(
        "Density", format="percent", help=METRICS["density"].description
    ),
    "kind": st.column_config.TextColumn("Made by"),
    "method": st.column_config.TextColumn("Pruned by"),
    "model": st.column_config.TextColumn("Network"),
    "dataset": st.column_config.TextColumn("Data set"),
    "status": st.column_config.MultiselectColumn(
        "Status",
        options=[f"{style.sign} {state}" for state, style in STATE_STYLES.items()],
        color=[style.color for style in STATE_STYLES.values()],
        width=125,
    ),
}


def draw_choice(
    listed: Sequence[Run], candidates: Mapping[str, Run], runs_by_id: Mapping[str, Run]
) -> None:
    """Draw the table of the runs that the filters let through, and how many are chosen."""
    buttons = st.container(horizontal=True, vertical_alignment="center", key="compare_choice")
    if listed:
        _draw_table(listed, candidates, runs_by_id)
    else:
        st.info("No run passes the filters.", icon=":material/filter_alt_off:")
    with buttons:
        _draw_choice_line(listed, candidates)


def _draw_choice_line(listed: Sequence[Run], candidates: Mapping[str, Run]) -> None:
    chosen = chosen_runs(candidates)
    hidden = {run.id for run in chosen} - {run.id for run in listed}
    text = f"**{len(chosen)}** of {len(candidates):,} runs chosen"
    if hidden:
        text += f", {len(hidden)} of them hidden by the filters"
    if len(chosen) == MOST_RUNS:
        text += " (the most there can be)"
    st.markdown(f"{text}.", width="content")
    ids = [run.id for run in listed]
    st.button(
        "Choose all listed",
        icon=":material/done_all:",
        type="tertiary",
        key="compare_all",
        disabled=not listed,
        on_click=choose_of_listed,
        args=(ids, ids),
    )
    st.button(
        "Choose none",
        icon=":material/remove_done:",
        type="tertiary",
        key="compare_none",
        disabled=not chosen,
        on_click=choose_runs,
        args=([],),
    )


def _draw_table(
    listed: Sequence[Run], candidates: Mapping[str, Run], runs_by_id: Mapping[str, Run]
) -> None:
    state = st.session_state
    state[_LISTED] = [run.id for run in listed]
    _select_rows(chosen_runs(candidates))
    picked = picked_ids()
    rows = [_row(run, run.id in picked) for run in compared_runs(listed, runs_by_id)]
    st.dataframe(
        pd.DataFrame(rows, columns=list(_COLUMNS)),
        hide_index=True,
        key=_TABLE,
        column_config=_COLUMNS,
        on_select=_choose_selected_rows,
        selection_mode="multi-row",
        height=_ROW * (min(len(rows), _MOST_ROWS) + 1) + 3,
        placeholder="—",
        alt=f"The {len(rows)} runs that can be compared, with accuracy, size and settings",
    )


def _select_rows(chosen: Sequence[Run]) -> None:
    """Select the rows of the chosen runs, where the browser has not selected them itself."""
    state = st.session_state
    ids = {run.id for run in chosen}
    rows = [row for row, run_id in enumerate(state[_LISTED]) if run_id in ids]
    selected = state[_TABLE]["selection"]["rows"] if _TABLE in state else []
    if sorted(selected) != rows:
        state[_TABLE] = {"selection": {"rows": rows, "columns": [], "cells": []}}


def _choose_selected_rows() -> None:
    """Choose the selected rows, of those that the browser showed at the click."""
    state = st.session_state
    listed = state[_LISTED]
    rows = state[_TABLE]["selection"]["rows"]
    choose_of_listed([listed[row] for row in rows if row < len(listed)], listed)


def _row(compared: ComparedRun, is_picked: bool) -> dict[str, Any]:
    run = compared.run
    figures = compared.figures
    return {
        "picked": "●" if is_picked else "",
        "name": compared.name,
        "accuracy": None if figures.accuracy is None else 100 * figures.accuracy,
        "size": None if figures.bytes is None else figures.bytes / 1000,
        "density": figures.density,
        "kind": compared.kind,
        "method": method_of(compared.lineage),
        "model": run.model,
        "dataset": run.dataset,
        "status": [signed_state(run)],
    }
