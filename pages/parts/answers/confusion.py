"""The confusion matrices of two models and their difference, whose cells choose images."""

import streamlit as st

from core.inspect.behaviour.confusion import confusion_difference, count_confusions
from pages.parts.answers.comparison import AnsweringModel, Comparison
from pages.parts.answers.filters import choose_cell, is_filtered, keep_filters
from pages.parts.answers.gallery import draw_gallery
from pages.parts.shared.theme import is_dark

_KEY = "confusion_difference"


def draw_confusion(comparison: Comparison, other: AnsweringModel) -> None:
    """Draw the three matrices, and below them the images of the cell that was clicked."""
    st.caption(
        f"Numbers of images, of {len(comparison.labels):,}. Blue cells of the difference hold fewer"
        f" images with {other.letter}, orange ones more: more is good on the diagonal, and bad"
        " beside it. Click a cell of the difference to see its images."
    )
    keep_filters(comparison)
    left, middle, right = st.columns(3)
    with left:
        _draw_matrix(comparison, comparison.first)
    with middle:
        _draw_matrix(comparison, other)
    with right:
        _draw_difference(comparison, other)
    if is_filtered():
        draw_gallery(comparison, other)


def _draw_matrix(comparison: Comparison, model: AnsweringModel) -> None:
    from core.charts.answers.confusion import (  # imports altair
        confusion_alt_text,
        confusion_chart,
        confusion_table,
    )

    counts = count_confusions(model.answers, comparison.labels)
    table = confusion_table(counts, comparison.classes)
    chart = confusion_chart(table, comparison.classes, model.letter, is_dark=is_dark())
    st.altair_chart(chart, key=f"confusion-{model.letter}", alt=confusion_alt_text(table))


def _draw_difference(comparison: Comparison, other: AnsweringModel) -> None:
    from core.charts.answers.confusion import (
        CELL,
        confusion_alt_text,
        confusion_table,
        difference_chart,
    )

    def choose_clicked_cell() -> None:
        cells = st.session_state[_KEY]["selection"].get(CELL)
        if not cells:
            choose_cell(None, None)
            return
        label, answer = int(cells[0]["label"]), int(cells[0]["answer"])
        choose_cell(label, answer, int(counts[label, answer]))

    counts = confusion_difference(comparison.changes[other.letter])
    table = confusion_table(counts, comparison.classes)
    title = f"{other.letter} minus {comparison.first.letter}"
    st.altair_chart(
        difference_chart(table, comparison.classes, title, is_dark=is_dark()),
        key=_KEY,
        on_select=choose_clicked_cell,
        selection_mode=CELL,
        alt=confusion_alt_text(table),
    )
