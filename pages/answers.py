"""Answers: which test images two to four models answer differently, and how sure they are."""

import streamlit as st

from core.runs.answers import check_classes, check_comparable
from core.runs.run import Run
from pages.parts.answers.choice import choose_models
from pages.parts.answers.comparison import load_comparison, load_test_set
from pages.parts.answers.testing import draw_tests
from pages.parts.answers.views import draw_views
from pages.parts.shared import shell
from pages.parts.shared.address import write_address

shell.guard(__file__)
store = shell.run_store()
root = shell.data_folder()


def draw_answers(runs: list[Run]) -> None:
    """Draw the comparison of the models, or the tests that it needs first."""
    check_comparable(runs)
    dataset = load_test_set(runs[0].dataset, root)
    if dataset:
        check_classes(runs, dataset)
    comparison = load_comparison(store, runs, dataset) if dataset else None
    if comparison is None:
        draw_tests(store, runs, dataset, root)
        return
    draw_views(comparison)


st.title("Answers")
st.markdown(
    "What compression changed in the answers: which images a model now gets wrong, which classes"
    " suffer, and whether it is still as sure as it is right."
)
with shell.showing_errors():
    models = choose_models(store)
    if models:
        draw_answers(models)
write_address()
