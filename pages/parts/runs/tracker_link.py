"""The line that says where a run's copy in MLflow is, or why it is not complete."""

import streamlit as st

from core.runs.run import Run
from core.runs.trackers.mirror_file import LEFT_ALONE, read_mirror
from pages.parts.shared.words import plain


def draw_tracker_link(run: Run) -> None:
    """Draw one line if the run is copied to a tracker, and one sentence where that failed."""
    mirror = read_mirror(run.path)
    texts = []
    if mirror.left_alone:
        texts.append(LEFT_ALONE)
    elif mirror.link:
        texts.append(f"[This run in MLflow]({mirror.link})")
    elif mirror.mlflow_run:
        texts.append(f"In MLflow this is run {plain(mirror.mlflow_run)}.")
    if mirror.error:
        texts.append(plain(mirror.error))
    if texts:
        st.caption(" · ".join(texts))
