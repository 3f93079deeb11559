"""The views of a comparison, of which one is drawn at a time."""

from functools import partial

import streamlit as st

from core.inspect.behaviour.table import answers_csv
from pages.parts.answers.classes import draw_classes
from pages.parts.answers.comparison import AnsweringModel, Comparison
from pages.parts.answers.confidence import draw_confidence
from pages.parts.answers.confusion import draw_confusion
from pages.parts.answers.filters import keep_filters
from pages.parts.answers.gallery import draw_gallery
from pages.parts.answers.summary import draw_summary
from pages.parts.shared.address import address_selectbox, keep_choice_in_address
from pages.parts.shared.words import plain

_VIEWS = ["Summary", "Classes", "Confusion", "Confidence", "Images"]
_OF_ALL_MODELS = ("Summary", "Confidence")


def draw_views(comparison: Comparison) -> None:
    """Draw the choice of a view, and the view."""
    names = " · ".join(f"**{model.letter}** {plain(model.title)}" for model in comparison.models)
    dataset = plain(comparison.first.run.dataset)
    st.markdown(f"{names}, on the {len(comparison.labels):,} test images of {dataset}.")
    with st.container(horizontal=True, vertical_alignment="bottom", key="answers_bar"):
        view = _choose_view()
        other = comparison.others[0]
        if view not in _OF_ALL_MODELS and len(comparison.others) > 1:
            other = _choose_other(comparison)
        _draw_csv(comparison)
    if view == "Summary":
        draw_summary(comparison)
    elif view == "Classes":
        draw_classes(comparison, other)
    elif view == "Confusion":
        draw_confusion(comparison, other)
    elif view == "Confidence":
        draw_confidence(comparison)
    else:
        keep_filters(comparison)
        draw_gallery(comparison, other)


def _choose_view() -> str:
    keep_choice_in_address("answers_view", _VIEWS, _VIEWS[0], what="view", name="view")
    view = st.segmented_control(
        "View",
        _VIEWS,
        key="answers_view",
        required=True,
        persist_state="session",
        help=(
            "Summary: accuracies and their difference. Classes: the change of each class."
            " Confusion: which class is taken for which. Confidence: how sure the models are."
            " Images: those that only one of two models gets right."
        ),
    )
    return view or _VIEWS[0]


def _choose_other(comparison: Comparison) -> AnsweringModel:
    others = {model.letter: model for model in comparison.others}
    letter = address_selectbox(
        f"Compared with {comparison.first.letter}",
        "answers_other",
        list(others),
        what="model",
        address="with",
        width=260,
        format_func=lambda letter: others[letter].name,
    )
    return others[letter]


def _draw_csv(comparison: Comparison) -> None:
    answers = {model.name: model.answers for model in comparison.models}
    ids = "-".join(model.run.id for model in comparison.models)
    st.download_button(
        "CSV",
        partial(answers_csv, answers, comparison.labels, comparison.classes),
        f"answers-{ids}.csv",
        icon=":material/download:",
        key="answers_csv",
        on_click="ignore",
        help=f"The answer of each model for each of the {len(comparison.labels):,} test images.",
        width="content",
    )
