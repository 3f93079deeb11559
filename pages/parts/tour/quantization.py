"""The second step of the tour: the pruned network is quantized, and the three files compared."""

from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.runs.run import Run
from core.runs.store import RunStore
from pages.parts.shared import shell
from pages.parts.shared.accuracies import interval_note
from pages.parts.shared.metrics import draw_metric
from pages.parts.shared.words import SIMULATED_QUANTIZATION, percent, size
from pages.parts.tour.progress import draw_live, draw_run_progress
from pages.parts.tour.runs import TourRuns, find_tour, start_quantization


def draw_quantization(store: RunStore, root: Path) -> None:
    """Start the quantization if it was not started before, and draw it and the three models."""
    _, pruned = find_tour(store).trained
    with shell.showing_errors():
        if find_tour(store).quantized is None:
            start_quantization(store, pruned, root)

    def draw(runs: TourRuns) -> None:
        if runs.quantized is not None:
            draw_run_progress(runs.quantized, root)
        _draw_sizes(runs)
        st.caption(SIMULATED_QUANTIZATION)

    draw_live(store, draw)


def _draw_sizes(runs: TourRuns) -> None:
    models = {"Dense": runs.dense, "Pruned": runs.pruned, "Quantized": runs.quantized}
    dense_bytes = _packed_bytes(runs.dense)
    places = st.columns(len(models))
    for place, (label, run) in zip(places, models.items(), strict=True):
        _draw_size(place, label, run, dense_bytes)


def _draw_size(place: DeltaGenerator, label: str, run: Run | None, dense_bytes: int | None) -> None:
    """Draw the size of one packed file, with the accuracy and how much smaller the file is."""
    packed_bytes = _packed_bytes(run)
    with place:
        if run is None or packed_bytes is None:
            draw_metric(label, "—", "not finished")
            return
        accuracy = run.status.test_accuracy
        note = f"{percent(accuracy)} right"
        if dense_bytes and dense_bytes != packed_bytes:
            note += f", {dense_bytes / packed_bytes:.1f}× smaller"
        help_text = f"{packed_bytes:,} bytes on disk. {interval_note(run, accuracy)}"
        draw_metric(label, size(packed_bytes), note, help_text)


def _packed_bytes(run: Run | None) -> int | None:
    """The size of the run's packed file in bytes, None before there is one."""
    try:
        return None if run is None else run.packed_file.stat().st_size
    except OSError:
        return None
