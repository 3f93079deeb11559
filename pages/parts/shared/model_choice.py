"""The choice of one finished model, in a list or by the address."""

from collections.abc import Callable

import streamlit as st

from core.config import AffineRecipe, BudgetRecipe, KMeansRecipe
from core.runs.run import Run
from core.runs.store import RunStore
from pages.parts.shared.accuracies import INTERVAL_HELP
from pages.parts.shared.address import address_selectbox
from pages.parts.shared.words import percent

_NO_MODEL = "none"  # in the address


def finished_models(
    store: RunStore, fits: Callable[[Run], bool] = lambda run: True
) -> dict[str, Run]:
    """The finished runs that have a model, by id, the newest first."""
    return {run.id: run for run in store.list() if run.has_model and fits(run)}


def is_quantized(run: Run) -> bool:
    """Whether the run gave the weights few values. A budget of time only removes channels."""
    if isinstance(run.recipe, BudgetRecipe):
        return run.recipe.faster is None
    return isinstance(run.recipe, KMeansRecipe | AffineRecipe)


def draw_no_models() -> None:
    """Say that there is no model yet, and link to the pages that make one."""
    st.info(
        "There is no model yet. The quick tour trains one within a minute.",
        icon=":material/eco:",
    )
    with st.container(horizontal=True):
        st.page_link("pages/tour.py", label="Quick tour", icon=":material/tour:")
        st.page_link("pages/train.py", label="Train", icon=":material/content_cut:")


def choose_model(
    label: str,
    key: str,
    store: RunStore,
    *,
    fits: Callable[[Run], bool] = lambda run: True,
    among: dict[str, Run] | None = None,
    default: str | None = None,
    nothing: str = "",
    help: str = (
        "Every model that was trained, imported, pruned or quantized here, the newest first, with"
        f" its test accuracy. {INTERVAL_HELP}"
    ),
) -> Run | None:
    """Draw the choice of a model, which the address carries as ?key=ID, and return its run.

    fits: tells which runs can be chosen. among: the runs themselves, if `finished_models` was
    called before. default: the id of the first choice. Without it, that is `nothing`, or else the
    newest model. nothing: the label of an option that means no model (?key=none). Without it, and
    if there is no model, this draws `draw_no_models` and returns None. Pages with the same key
    share the choice.
    """
    runs = finished_models(store, fits) if among is None else among
    if not runs and not nothing:
        draw_no_models()
        return None
    labels = model_labels(runs)
    if nothing:
        labels = {_NO_MODEL: nothing, **labels}
    chosen = address_selectbox(
        label, key, list(labels), default, what="model", help=help, format_func=labels.__getitem__
    )
    return runs.get(chosen)


def model_line(run: Run) -> str:
    """A model in one line: name, network and data set, test accuracy."""
    title = run.name
    if run.model not in run.name:
        title += f" · {run.model} · {run.dataset}"
    return f"{title} · {percent(run.status.test_accuracy)}"


def model_labels(runs: dict[str, Run]) -> dict[str, str]:
    """A line for each model. Models with the same line are told apart by their ids."""
    lines = {run_id: model_line(run) for run_id, run in runs.items()}
    all_lines = list(lines.values())
    return {
        run_id: f"{line} · {run_id}" if all_lines.count(line) > 1 else line
        for run_id, line in lines.items()
    }
