"""The picture of a sweep's budgets: accuracy against bytes, and the best within each limit."""

from collections.abc import Sequence

import streamlit as st

from core.runs.sweeps.budgets.best import BestWithin, best_within
from core.runs.sweeps.budgets.fitted import FittedNetwork, fitted_networks
from core.runs.sweeps.sweep import Sweep
from pages.parts.shared.words import plain


def draw_fitted(sweep: Sweep) -> None:
    """Draw the networks that were fitted so far, and say which is the best within each limit."""
    from core.charts.fitted_networks import FITTED_HEIGHT, fitted_chart, fitted_table

    fitted = fitted_networks(sweep)
    best = best_within(sweep)
    for answer in best:
        if answer.best is not None or answer.too_large:
            _draw_answer(answer, sweep, len({other.limit.dataset for other in best}) > 1)
    if not fitted:
        if sweep.alive:
            st.skeleton(FITTED_HEIGHT)
        else:
            st.info("No network is in a budget yet.", icon=":material/hourglass_empty:")
        return
    table = fitted_table(fitted, best)
    st.altair_chart(
        fitted_chart(table, best),
        key="fitted_chart",
        alt="Accuracy on half B of the test images against bytes of the packed file",
    )
    st.caption(_caption(fitted, best))


def _draw_answer(answer: BestWithin, sweep: Sweep, names_dataset: bool) -> None:
    """Draw the sentence about one limit, with a link to the run of the best network."""
    text = f"{answer.limit.dataset}: {answer.describe()}" if names_dataset else answer.describe()
    if answer.best is None:
        st.warning(plain(text), icon=":material/compress:")
        return
    so_far = "So far: " if sweep.alive else ""
    st.success(plain(so_far + text), icon=":material/trophy:")
    st.page_link(
        "pages/runs.py",
        label=plain(f"Open the best network within {answer.limit.describe()}"),
        icon=":material/arrow_forward:",
        query_params={"run": answer.best.run.id},
    )


def _caption(fitted: Sequence[FittedNetwork], best: Sequence[BestWithin]) -> str:
    images = {made.summary.test_images for made in fitted}
    tested = f", which has {images.pop():,}" if len(images) == 1 else ""
    text = (
        f"Each point is one network after its budget. Its accuracy is that on half B of the test"
        f" images{tested}."
    )
    if any(answer.best is not None for answer in best):
        text += (
            " The best network within a limit is chosen by half A, so half B had no part in it, and"
            " the ringed point need not be the highest."
        )
    if not best:
        text += (
            " A limit of accuracy compares each network with its own float network, so none of"
            " them is called the best."
        )
    if any(answer.limit.field == "bytes" for answer in best):
        text += " A dashed line is a limit."
    return text
