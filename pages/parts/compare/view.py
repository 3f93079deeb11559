"""The views of the chosen runs, of which one is drawn at a time, and what is drawn without any."""

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from core.runs.run import Run
from pages.parts.answers.choice import MOST_MODELS
from pages.parts.compare.chosen import choose_runs
from pages.parts.compare.views.curves import draw_curves
from pages.parts.compare.views.layers import draw_layers
from pages.parts.compare.views.map import draw_map
from pages.parts.compare.views.scatter import draw_scatter
from pages.parts.compare.views.settings import draw_settings
from pages.parts.shared.address import keep_choice_in_address
from pages.parts.shared.words import plain

_FEW = 7  # newest runs that a button chooses

_View = Callable[[Sequence[Run], Mapping[str, Run]], None]

_VIEWS: dict[str, _View] = {
    "Scatter": draw_scatter,
    "Map": draw_map,
    "Curves": draw_curves,
    "Settings": draw_settings,
    "Layers": draw_layers,
}


def draw_views(chosen: Sequence[Run], runs_by_id: Mapping[str, Run]) -> None:
    """Draw the choice of the view, and the view."""
    keep_choice_in_address("compare_view", list(_VIEWS), "Scatter", what="view", name="view")
    view = st.segmented_control(
        "View",
        list(_VIEWS),
        key="compare_view",
        required=True,
        persist_state="session",
        label_visibility="collapsed",
    )
    _draw_answers_link(chosen)
    _draw_doubts(chosen)
    _VIEWS[view or "Scatter"](chosen, runs_by_id)


def draw_nothing_chosen(candidates: Mapping[str, Run]) -> None:
    """Say that no run is chosen yet, and draw a button that chooses some."""
    st.info(
        "No run is chosen yet. Tick rows of the table, or start with the newest runs.",
        icon=":material/checklist:",
    )
    newest = list(candidates)[:_FEW]
    st.button(
        f"Compare the newest {len(newest)}",
        icon=":material/compare_arrows:",
        type="primary",
        key="compare_newest",
        on_click=choose_runs,
        args=(newest,),
    )


def draw_too_few_runs(count: int) -> None:
    """Say that a comparison takes two runs, and link to the pages that make one."""
    runs = "There is only one run" if count else "There are no runs"
    st.info(
        f"{runs} to compare so far, and a comparison takes two that are finished or running. Train"
        " a network at two densities, or quantize one.",
        icon=":material/eco:",
    )
    with st.container(horizontal=True):
        st.page_link("pages/train.py", label="Train", icon=":material/content_cut:")
        st.page_link("pages/quantize.py", label="Quantize", icon=":material/grain:")
        st.page_link("pages/runs.py", label="Runs", icon=":material/list_alt:")


def _draw_answers_link(chosen: Sequence[Run]) -> None:
    """Link to what changed in the answers, which takes two to four networks."""
    models = [run.id for run in chosen if run.has_model]
    if 2 <= len(models) <= MOST_MODELS:
        st.page_link(
            "pages/answers.py",
            label="What changed in their answers",
            icon=":material/rule:",
            query_params={"runs": ",".join(models)},
            width="content",
            help="Class by class and image by image, on all test images.",
        )


def _draw_doubts(chosen: Sequence[Run]) -> None:
    """Say what a reader has to know before comparing these runs."""
    names = sorted({run.dataset for run in chosen})
    if len(names) > 1:
        st.warning(
            f"The chosen runs were tested on {len(names)} data sets ({plain(', '.join(names))}):"
            " accuracies on different images cannot be compared.",
            icon=":material/warning:",
        )
    active = sum(run.active for run in chosen)
    if active:
        with st.container(horizontal=True, vertical_alignment="center"):
            verb = "run is" if active == 1 else "runs are"
            st.caption(f"{active} {verb} not finished: figures so far.", width="content")
            st.button("Refresh", icon=":material/refresh:", type="tertiary", key="compare_refresh")
