"""The download of a run as one zip, which is written when its button is clicked."""

import tempfile
from functools import partial
from pathlib import Path

import streamlit as st

from core.runs.archive.exporting import archive_bytes, archive_name, export_run
from core.runs.run import Run
from core.runs.store import RunStore
from pages.parts.shared import shell
from pages.parts.shared.words import size

_MOST_BYTES = 10**9
"""A download is held in memory. Larger zips are written by the command."""


def draw_zip_download(run: Run) -> None:
    """Draw the button, or for a large run the command that writes the zip."""
    number = archive_bytes(run)
    if number > _MOST_BYTES:
        st.caption(f"As one zip ({size(number)}, too large for a browser):")
        st.code(f"python -m core runs export {run.id}", language="bash", wrap_lines=True)
        return
    st.download_button(
        f"Download as one zip ({size(number)})",
        partial(zip_content, shell.run_store(), run.id),
        icon=":material/folder_zip:",
        file_name=archive_name(run),
        mime="application/zip",
        on_click="ignore",
        type="tertiary",
        key="zip",
        help="Everything that is needed to open this run elsewhere. **Import a run** reads it.",
    )


def zip_content(store: RunStore, run_id: str) -> bytes:
    """Return the zip of a run. Raises UserError as `export_run` does."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        target = Path(folder) / "run.zip"
        for _ in export_run(store.get(run_id), target):
            pass
        return target.read_bytes()
