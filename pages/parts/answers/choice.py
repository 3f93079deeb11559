"""The choice of two to four models, which the address carries as ?runs=ID,ID,..."""

from collections.abc import Mapping

import streamlit as st

from core.runs.run import Run
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
