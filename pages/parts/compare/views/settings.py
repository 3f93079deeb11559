"""The settings in which the chosen runs differ, as a table with accuracy and size, and as CSV."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from core.runs.comparison.compared import ComparedRun
from core.runs.comparison.differences import setting_labels, telling_settings
from core.runs.comparison.rows import figure_rows, setting_texts
from core.runs.run import Run
from pages.parts.compare.cached import compare
from pages.parts.shared.report_download import draw_report_download

_COLUMNS = {
    "name": st.column_config.TextColumn("Name", pinned=True, width=230),
    "accuracy": st.column_config.NumberColumn("Test accuracy", format="%.2f%%"),
    "size": st.column_config.NumberColumn("On disk", format="%.1f kB"),
}


def draw_settings(chosen: Sequence[Run], runs_by_id: Mapping[str, Run]) -> None:
    """Draw the table and the downloads."""
    runs = compare(chosen, runs_by_id, ("macs", "latency_ms"))
    names = telling_settings([run.settings for run in runs])
    labels = setting_labels(names)
    if len(runs) > 1 and not names:
        st.info("The chosen runs have the same settings.", icon=":material/equal:")
    rows = [_row(run) | setting_texts(run, labels) for run in runs]
    st.dataframe(
        pd.DataFrame(rows, columns=[*_COLUMNS, *labels.values()]),
        hide_index=True,
        column_config=_COLUMNS,
        placeholder="—",
        key="compare_settings",
        alt=f"The {len(names)} settings in which {len(runs)} runs differ, with accuracy and size",
    )
    st.caption(
        "Left out are settings that are the same in all chosen runs, or in all that have them."
    )
    with st.container(horizontal=True, key="compare_downloads"):
        st.download_button(
            "CSV with all figures",
            pd.DataFrame(figure_rows(runs, labels)).to_csv(index=False).encode(),
            icon=":material/download:",
            file_name="compare.csv",
            mime="text/csv",
            on_click="ignore",
            key="compare_csv",
            help="A row for each run: the settings that differ, and every figure in plain units.",
        )
        draw_report_download(chosen, key="compare_report")


def _row(run: ComparedRun) -> dict[str, Any]:
    figures = run.figures
    return {
        "name": run.name,
        "accuracy": None if figures.accuracy is None else 100 * figures.accuracy,
        "size": None if figures.bytes is None else figures.bytes / 1000,
    }
