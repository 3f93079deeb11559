"""The summary of each model against the first one: accuracies, their difference, and counts."""

import streamlit as st

from core.accuracy import guessing_text, interval_text, is_guessing
from core.inspect.behaviour.paired import PairedCounts
from pages.parts.answers.comparison import AnsweringModel, Comparison
from pages.parts.answers.words import NEAR_THE_LIMIT, points, points_range, verdict
from pages.parts.shared.metrics import draw_metric
from pages.parts.shared.words import percent, plain


def draw_summary(comparison: Comparison) -> None:
    """Draw a box for each model but the first."""
    for other in comparison.others:
        with st.container(border=True, key=f"summary-{other.letter}"):
            st.subheader(
                f"{plain(other.name)}, compared with {comparison.first.letter}", anchor=False
            )
            _draw_figures(comparison, other)


def _draw_figures(comparison: Comparison, other: AnsweringModel) -> None:
    changes = comparison.changes[other.letter]
    counts = changes.counts
    with st.container(horizontal=True):
        _draw_accuracies(counts, comparison.first, other)
        _draw_counts(counts)
        same = float((changes.first.predicted == changes.second.predicted).mean())
        draw_metric(
            "Same answer",
            percent(same),
            f"of {counts.images:,} images",
            "Share of the test images for which both models choose the same class, right or wrong.",
        )
    st.markdown(verdict(counts, comparison.first.letter, other.letter))
    for model, accuracy in (
        (comparison.first, counts.first_accuracy),
        (other, counts.second_accuracy),
    ):
        if is_guessing(accuracy, counts.images, len(comparison.classes)):
            text = f"{model.letter} is {guessing_text(len(comparison.classes))}."
            st.warning(text, icon=":material/casino:")


def _draw_accuracies(counts: PairedCounts, first: AnsweringModel, other: AnsweringModel) -> None:
    help_text = f"Share of the {counts.images:,} test images, with its 95% interval (Wilson)."
    for model, accuracy in ((first, counts.first_accuracy), (other, counts.second_accuracy)):
        draw_metric(
            f"Accuracy of {model.letter}",
            percent(accuracy),
            interval_text(accuracy, counts.images),
            help_text,
        )
    draw_metric(
        "Difference",
        points(counts.difference),
        points_range(counts.difference_interval),
        f"Accuracy of {other.letter} minus that of {first.letter}, with its 95% interval for models"
        f" that answer the same {counts.images:,} images (Agresti and Min)."
        f" {NEAR_THE_LIMIT}",
    )


def _draw_counts(counts: PairedCounts) -> None:
    of_all = f"of {counts.images:,} images"
    draw_metric("Broken", f"{counts.broken:,}", of_all, "Only the first model is right.")
    draw_metric("Fixed", f"{counts.fixed:,}", of_all, "Only the first model is wrong.")
    draw_metric("Both wrong", f"{counts.both_wrong:,}", of_all, "Perhaps in different ways.")
