"""The figures of a run as metrics: accuracy, weights kept, size and speed."""

from typing import Any

import streamlit as st

from core.config import (
    AffineRecipe,
    AnswersRecipe,
    ImportRecipe,
    Int8Recipe,
    KMeansRecipe,
    LatencyRecipe,
    PruneRecipe,
    TrainRecipe,
)
from core.deploy.latency_report import VARIANTS, fastest
from core.errors import UserError
from core.runs.latency import read_latency
from core.runs.run import INT8, MODEL, Run
from pages.parts.shared.accuracies import best_help, best_words, interval_note
from pages.parts.shared.metrics import draw_metric
from pages.parts.shared.words import percent, size


def draw_figures(run: Run, epochs: list[dict[str, Any]]) -> None:
    """Draw the figures that the run has so far. epochs: its EpochEnd events as plain data.

    Those of a budget run are in `pages.parts.budget.search.result`.
    """
    with st.container(horizontal=True, key="figures"):
        if isinstance(run.recipe, KMeansRecipe | AffineRecipe):
            _draw_quantization_figures(run, epochs)
        elif isinstance(run.recipe, PruneRecipe):
            _draw_pruning_figures(run, epochs)
        elif isinstance(run.recipe, ImportRecipe):
            _draw_import_figures(run)
        elif isinstance(run.recipe, Int8Recipe):
            _draw_int8_figures(run)
        elif isinstance(run.recipe, AnswersRecipe):
            _draw_test_accuracy(run)
        elif isinstance(run.recipe, LatencyRecipe):
            _draw_speed_figures(run)
        else:
            _draw_training_figures(run, epochs)


def times_smaller(run: Run) -> float:
    """How many times smaller the packed file is than the weights in float; NaN if not known.

    The files on disk count. If one was deleted, the sizes in the summary do.
    """
    if _has_both_files(run):
        return _bytes_on_disk(run, MODEL) / run.packed_file.stat().st_size
    summary = run.status.summary
    if summary is None or summary.float_bytes is None or summary.packed_bytes is None:
        return float("nan")
    return summary.float_bytes / summary.packed_bytes


def _draw_training_figures(run: Run, epochs: list[dict[str, Any]]) -> None:
    _draw_test_accuracy(run)
    _draw_best_accuracy(run)
    _draw_weights_kept(run)
    _draw_packed_size(run)
    draw_metric("Images a second", _speed_text(epochs))
    _draw_epoch(run)


def _draw_test_accuracy(run: Run) -> None:
    accuracy = run.status.test_accuracy
    draw_metric("Test accuracy", percent(accuracy), help_text=interval_note(run, accuracy))


def _draw_speed_figures(run: Run) -> None:
    """Draw the median time of the fastest form at each batch size."""
    if run.state != "finished":
        return
    try:
        batches = read_latency(run).batches
    except UserError:  # the outcome says why
        return
    for batch in batches:
        name = fastest(batch)
        latency = batch.latencies.variants[name]
        draw_metric(
            f"Batch of {batch.batch}",
            f"{latency.median:.2f} ms",
            VARIANTS[name],
            f"The fastest form. 95% of its calls took at most {latency.p95:.2f} ms.",
        )


def _draw_best_accuracy(run: Run) -> None:
    """Draw the test accuracy of the best epoch, and how that epoch is chosen."""
    accuracy = run.status.best_accuracy
    help_text = f"{best_help(run)} {interval_note(run, accuracy)}"
    draw_metric("Best", percent(accuracy), best_words(run), help_text)


def _draw_import_figures(run: Run) -> None:
    _draw_test_accuracy(run)
    _draw_weights_kept(run)
    if run.packed_file.exists():
        _draw_packed_size(run)
    elif (run.path / MODEL).exists():  # imported before every run had a packed file
        draw_metric("On disk", size(_bytes_on_disk(run, MODEL)), help_text="Weights in float.")


def _draw_quantization_figures(run: Run, epochs: list[dict[str, Any]]) -> None:
    _draw_accuracy_change(run)
    if run.recipe.epochs:
        _draw_best_accuracy(run)
    _draw_packed_size(run)
    prunable = run.status.prunable
    _draw_weights_kept(run, note=None if prunable is None else f"of {prunable:,}")
    if run.recipe.epochs:
        _draw_epoch(run)
        draw_metric("Images a second", _speed_text(epochs), help_text="During tuning.")


def _draw_pruning_figures(run: Run, epochs: list[dict[str, Any]]) -> None:
    _draw_accuracy_change(run)
    if run.recipe.epochs:
        _draw_best_accuracy(run)
    prunable = run.status.prunable
    _draw_weights_kept(run, note=None if prunable is None else f"of {prunable:,}")
    _draw_packed_size(run)
    if run.recipe.epochs:
        _draw_epoch(run)
        draw_metric("Images a second", _speed_text(epochs), help_text="During fine-tuning.")


def _draw_int8_figures(run: Run) -> None:
    _draw_accuracy_change(run)
    _draw_weights_kept(run)
    if (run.path / INT8).exists():
        number = _bytes_on_disk(run, INT8)
        draw_metric(
            "ONNX file", size(number), help_text=f"{number:,} bytes on disk, with 8-bit weights."
        )


def _draw_accuracy_change(run: Run) -> None:
    """Draw the test accuracy, with the difference to the model before."""
    accuracy = run.status.test_accuracy
    summary = run.status.summary
    before = None if summary is None else summary.parent_accuracy
    if accuracy is None or before is None:
        _draw_test_accuracy(run)
        return
    points = 100 * (accuracy - before)
    help_text = f"Before: {percent(before)}. {interval_note(run, accuracy)}"
    if abs(points) < 0.005:
        draw_metric("Test accuracy", percent(accuracy), "as before", help_text)
        return
    st.metric(
        "Test accuracy", percent(accuracy), f"{points:+.2f} points", border=True, help=help_text
    )


def _draw_packed_size(run: Run) -> None:
    """Draw the size of the packed file, which a run has once it is finished."""
    if not _has_both_files(run):
        return
    packed_bytes = run.packed_file.stat().st_size
    float_bytes = _bytes_on_disk(run, MODEL)
    draw_metric(
        "Packed file",
        size(packed_bytes),
        f"float: {size(float_bytes)}",
        f"{packed_bytes:,} bytes on disk. The same network in float takes {float_bytes:,}.",
    )
    note, help_text = _packing_words(run)
    draw_metric("Smaller by", f"{times_smaller(run):.1f}×", note, help_text)


def _packing_words(run: Run) -> tuple[str, str]:
    """Say what makes the packed file smaller: a note below the figure, and its help text."""
    if not isinstance(run.recipe, TrainRecipe | PruneRecipe):
        return "on disk", ""
    if run.status.kept == run.status.prunable:
        return (
            "lossless, nothing pruned",
            "All weights are kept in float32, bit for bit, and such numbers hardly shrink. Pruning"
            " and quantizing make the file much smaller.",
        )
    return (
        "lossless",
        "The file leaves the pruned weights out. The kept ones are in float32, bit for bit."
        " Quantizing them makes the file much smaller.",
    )


def _draw_weights_kept(run: Run, note: str | None = None) -> None:
    status = run.status
    draw_metric(
        "Weights kept",
        "—" if status.kept is None else f"{status.kept:,}",
        note,
        "" if status.prunable is None else f"Of {status.prunable:,} prunable weights.",
    )


def _draw_epoch(run: Run) -> None:
    draw_metric("Epoch", f"{run.status.epoch} / {run.recipe.epochs}")


def _speed_text(epochs: list[dict[str, Any]]) -> str:
    return f"{epochs[-1]['images_per_second']:,.0f}" if epochs else "—"


def _has_both_files(run: Run) -> bool:
    return (run.path / MODEL).exists() and run.packed_file.exists()


def _bytes_on_disk(run: Run, file: str) -> int:
    return (run.path / file).stat().st_size
