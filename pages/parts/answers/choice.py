"""The choice of two to four models, which the address carries as ?runs=ID,ID,..."""

from collections.abc import Mapping

import streamlit as st

from core.data.imageset import Dataset
from core.errors import UserError
from core.inspect.behaviour.changes import check_same_classes
from core.models.saved import read_card
from core.runs.comparison import unique_names
from core.runs.run import MODEL, Run
from core.runs.store import RunStore
from pages.parts.shared.accuracies import INTERVAL_HELP
from pages.parts.shared.address import choose, keep_in_address
from pages.parts.shared.model_choice import draw_no_models, finished_models, model_labels

MOST_MODELS = 4
_KEY = "answers_runs"


def choose_models(store: RunStore) -> list[Run]:
    """Draw the choice, and return the models. Returns none, and says why, if they are too few."""
    models = finished_models(store)
    if not models:
        draw_no_models()
        return []
    _keep_models_in_address(models)
    st.multiselect(
        "Models",
        list(models),
        key=_KEY,
        max_selections=MOST_MODELS,
        format_func=model_labels(models).__getitem__,
        placeholder="Choose two to four models",
        persist_state="session",
        help=(
            "The others are compared with the first one, so choose the original first. All of them"
            f" must have the same classes. With each is its test accuracy. {INTERVAL_HELP}"
        ),
    )
    chosen = [models[run_id] for run_id in st.session_state[_KEY]]
    if len(chosen) < 2:
        _draw_too_few(len(models))
        return []
    return chosen


def check_comparable(runs: list[Run]) -> None:
    """Raise UserError unless the models have the same data set and the same classes."""
    names = unique_names(runs)
    first, *others = runs
    for other in others:
        if other.dataset != first.dataset:
            raise UserError(
                f"{names[first.id]} is tested on {first.dataset} and {names[other.id]} on"
                f" {other.dataset}, so there are no images that both answer: choose models of the"
                " same data set."
            )
    check_same_classes({names[run.id]: read_card(run.path / MODEL).classes for run in runs})


def check_dataset(runs: list[Run], dataset: Dataset) -> None:
    """Raise UserError unless the data set has the models' classes, which are all the same."""
    if read_card(runs[0].path / MODEL).classes != dataset.classes:
        raise UserError(
            f"The data set {dataset.name} has other classes than those that these models were"
            " trained on: import the data set that they were trained on."
        )


def _keep_models_in_address(models: Mapping[str, Run]) -> None:
    """Give the widget its models: of the address, chosen before, or a model and its parent."""

    def parse(text: str) -> list[str]:
        parts = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
        known = [part for part in parts if part in models]
        if len(known) < len(parts) or len(known) > MOST_MODELS:
            st.warning(
                "The address names runs that cannot be compared here: they were deleted, have no"
                f" model, or are more than {MOST_MODELS}.",
                icon=":material/search_off:",
            )
        return known[:MOST_MODELS]

    is_new = _KEY not in st.session_state
    keep_in_address(_KEY, [], parse, name="runs", to_text=",".join)
    if is_new and not st.session_state[_KEY]:
        choose(_KEY, _newest_pair(models))
    chosen = [run_id for run_id in st.session_state[_KEY] if run_id in models]
    if chosen != st.session_state[_KEY]:
        choose(_KEY, chosen)


def _newest_pair(models: Mapping[str, Run]) -> list[str]:
    """Return the ids of the newest model that was made from another one, after that one's."""
    for run in models.values():
        if run.config.parent in models:
            return [str(run.config.parent), run.id]
    return []


def _draw_too_few(count: int) -> None:
    if count > 1:
        st.info("Choose two to four models to compare their answers.", icon=":material/rule:")
        return
    st.info(
        "There is only one model. Quantize it, or train another one, to compare their answers.",
        icon=":material/eco:",
    )
    with st.container(horizontal=True):
        st.page_link("pages/quantize.py", label="Quantize", icon=":material/grain:")
        st.page_link("pages/train.py", label="Train", icon=":material/content_cut:")
