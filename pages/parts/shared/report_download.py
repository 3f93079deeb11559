"""The download of a report of the chosen runs, which is written when its button is clicked."""

from collections.abc import Iterable, Sequence
from functools import partial

import streamlit as st

from core.commands.command_of import command_of
from core.report.format.drawings import MISSING_CONVERTER, can_draw
from core.runs.run import Run
from core.runs.store import RunStore
from pages.parts.shared import shell
from pages.parts.shared.accuracies import dataset_infos


def draw_report_download(chosen: Sequence[Run], key: str) -> None:
    """Draw the button with this key. Nothing is written before it is clicked."""
    what = (
        "One page with the map, the charts, the figures, and of every run the settings, the command"
        " line and the layers. It needs no network, and prints well."
    )
    is_possible = can_draw()
    st.download_button(
        "Report (HTML)",
        partial(report_bytes, shell.run_store(), [run.id for run in chosen]),
        icon=":material/description:",
        file_name="report.html",
        mime="text/html",
        on_click="ignore",
        key=key,
        disabled=not is_possible,
        help=what if is_possible else MISSING_CONVERTER,
    )


def report_bytes(store: RunStore, run_ids: Iterable[str]) -> bytes:
    """Return the report of the runs as a file. Raises UserError for runs that are gone."""
    from core.report.report import write_report  # imports altair

    return write_report(store, run_ids, command_of, dataset_infos()).encode()
