"""The page of one run: its state, its actions, its progress or outcome, figures and curves."""

from datetime import datetime
from typing import Any

import streamlit as st

from core.accuracy import explain_other_record
from core.config import BudgetRecipe
from core.errors import UserError
from core.runs.run import Run, recorded_accuracy
from core.runs.store import RunStore, describe_recipe
from pages.parts.budget.search.candidates import draw_search
from pages.parts.budget.search.result import best_sentence, draw_budget_result, is_limit_kept
from pages.parts.runs.actions import draw_actions
from pages.parts.runs.details import draw_details
from pages.parts.runs.figures import draw_figures
from pages.parts.runs.outcome import outcome_sentence
from pages.parts.runs.owners import owner_name
from pages.parts.runs.silence import draw_silence
from pages.parts.runs.tags import draw_tags
from pages.parts.runs.tracker_link import draw_tracker_link
from pages.parts.shared.accuracies import accuracy_text, counts_of_series, run_is_guessing
from pages.parts.shared.states import draw_state
from pages.parts.shared.words import (
    REAL_INTEGERS,
    SIMULATED_QUANTIZATION,
    duration,
    kept,
    plain,
)


def draw_run(store: RunStore, run_id: str) -> None:
    """Draw the page of one run, or say why it cannot be shown."""
    st.button(
        "All runs",
        icon=":material/arrow_back:",
        type="tertiary",
        on_click=st.query_params.clear,
        key="back",
    )
    try:
        run = store.get(run_id)
    except UserError as error:
        st.error(plain(str(error)), icon=":material/search_off:")
        return
    _draw_header(run)
    _draw_lineage(store, run)
    if not run.is_helper:
        draw_tags(store, run)
    draw_actions(store, run)
    _draw_live_part(store, run)


def _draw_header(run: Run) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="header"):
        st.title(plain(run.name), width="content", anchor=False)
        draw_state(run)
    created = datetime.fromtimestamp(run.config.created)
    summary = run.status.summary
    density = run.density if summary is None else summary.density
    by = f" by {plain(owner_name(run))}" if run.owner else ""
    st.caption(
        f"{run.model} on {plain(run.dataset)}, {kept(density)} · created {created:%d %b %Y, %H:%M}"
        f"{by} · {_device_words(run)} · {run.id}"
    )


def _device_words(run: Run) -> str:
    device = run.status.device or run.recipe.device
    return "on the best device" if device == "auto" else f"on {device}"


def _draw_lineage(store: RunStore, run: Run) -> None:
    """Draw a link to each model that led to this one."""
    ancestors = store.lineage(run.id)[:-1]
    if not ancestors:
        if run.config.parent:
            st.caption("The run that it was made from was deleted, or is damaged.")
        return
    with st.container(horizontal=True, vertical_alignment="center", key="lineage"):
        st.markdown("Made from", width="content")
        for ancestor in ancestors:
            accuracy = accuracy_text(ancestor, ancestor.status.test_accuracy)
            st.page_link(
                "pages/runs.py",
                label=plain(ancestor.name),
                query_params={"run": ancestor.id},
                icon=":material/account_tree:",
                width="content",
                help=f"{plain(describe_recipe(ancestor.recipe))}, {accuracy} right.",
            )
            st.markdown(":material/arrow_forward:", width="content")
        st.markdown(f"**{plain(run.name)}**", width="content")
    _draw_other_record(ancestors[-1], run)


def _draw_other_record(parent: Run, run: Run) -> None:
    """Warn if the parent is not as accurate as its run recorded."""
    result = run.status.summary
    if result is None or result.parent_accuracy is None or result.test_half:
        return
    difference = explain_other_record(result.parent_accuracy, recorded_accuracy(parent))
    if difference:
        st.warning(difference, icon=":material/warning:")


def _draw_live_part(store: RunStore, old_run: Run) -> None:
    """Draw all that changes during the run, once a second while it is active.

    When its state changes, the whole page is drawn again, and the timer ends.
    """

    @st.fragment(run_every=1 if old_run.active else None, key="live")
    def draw_live_part() -> None:
        try:
            run = store.get(old_run.id)
        except UserError:  # the run was deleted in another tab
            st.rerun()
        if run.state != old_run.state:
            st.rerun()
        epochs = store.epochs(run.id)
        if run.active:
            _draw_progress(run)
            draw_silence(run)
        else:
            _draw_outcome(store, run)
        _draw_place(run)
        if isinstance(run.recipe, BudgetRecipe):
            draw_budget_result(store, run)
            draw_search(store, run)
        else:
            draw_figures(run, epochs)
        if run.active:
            # It keeps its place while it is empty, or the curves below would be drawn anew.
            with st.container():
                _draw_batch_losses(run)
        if run.recipe.epochs > 1:  # one point is no curve
            _draw_curves(run, epochs)
            _draw_density_course(run, epochs)
        if _is_simulated(run):
            st.caption(SIMULATED_QUANTIZATION)
        if run.recipe.kind == "int8":
            st.caption(REAL_INTEGERS)
        draw_tracker_link(run)
        draw_details(store, run)

    draw_live_part()


def _is_simulated(run: Run) -> bool:
    """Whether the result computes with quantized weights in float."""
    if isinstance(run.recipe, BudgetRecipe):
        return run.recipe.faster is None
    return run.recipe.kind in ("kmeans", "affine")


def _draw_progress(run: Run) -> None:
    status = run.status
    text = status.stage or "Starting"
    if status.total:
        text += f" · {status.done:,} of {status.total:,} {status.unit}"
    if status.seconds_left:
        text += f" · about {duration(status.seconds_left)} left"
    share = status.progress
    if status.total and status.unit != "batches":  # not a part of the training
        share = status.done / status.total
    st.progress(min(1.0, share), text=text)
    if run.status.waits_for_cluster:
        st.caption(plain(run.status.message))
    elif run.state == "queued":
        st.caption("A device works on one run at a time, in the order in which they were started.")


def _draw_place(run: Run) -> None:
    """Say where on a cluster the run is or was."""
    place = run.status.place
    if place:
        st.caption(plain(place[0].upper() + place[1:] + "."))


def _draw_outcome(store: RunStore, run: Run) -> None:
    """Say how the run ended, and what to do next."""
    if run.state == "finished":
        if run_is_guessing(run):
            st.warning(outcome_sentence(store, run), icon=":material/casino:")
        elif isinstance(run.recipe, BudgetRecipe) and not is_limit_kept(store, run):
            st.warning(outcome_sentence(store, run), icon=":material/warning:")
        else:
            st.success(outcome_sentence(store, run), icon=":material/check_circle:")
    elif run.state == "failed":
        st.error(
            plain(run.status.message) or "It failed without a message. The log may say more.",
            icon=":material/error:",
            title="This run failed",
        )
    elif run.state == "created":
        st.info("This run was never started.", icon=":material/draft:")
    else:
        texts = [_why_stopped(run), _resume_text(run)]
        if isinstance(run.recipe, BudgetRecipe):
            texts.insert(1, best_sentence(store, run))
        st.warning(" ".join(filter(None, texts)), icon=":material/power_off:")


def _why_stopped(run: Run) -> str:
    """Why a cancelled or interrupted run ended. Only a worker that had the time says so itself."""
    if run.state == "cancelled" or run.status.state == "interrupted":
        return plain(run.status.message)
    return (
        "Its process ended without a message: it was killed, it ran out of memory, or the machine"
        " went down."
    )


def _resume_text(run: Run) -> str:
    if run.recipe.kind == "answers":
        return "**Resume** continues after the last batch of images that was kept."
    if run.recipe.kind == "budget":
        return "**Resume** continues the search from the last checkpoint, with the minutes left."
    if not run.recipe.epochs:
        return "**Resume** does it again."
    return (
        f"It finished epoch {run.status.epoch} of {run.recipe.epochs}. **Resume** continues from"
        " the last checkpoint, to the same result as without the interruption."
    )


def _draw_batch_losses(run: Run) -> None:
    """Draw the loss of the batches as they come, from the second point on."""
    from core.charts.training import batch_loss_chart  # imports altair

    if len(run.status.batch_losses) > 1:
        st.altair_chart(
            batch_loss_chart(run.status.batch_losses),
            key="batch_losses",
            alt="Training loss, batch by batch",
        )
        st.caption("The mean of the current epoch's batches so far. It starts anew in each epoch.")


def _draw_curves(run: Run, epochs: list[dict[str, Any]]) -> None:
    """Draw loss and accuracy by epoch, or keep their place until the first epoch has ended."""
    from core.charts.training import CURVE_HEIGHT, accuracy_chart, loss_chart  # imports altair

    columns = st.columns(2)
    if not epochs:
        if run.active:
            for column in columns:
                column.skeleton(CURVE_HEIGHT)
        return
    charts = (
        ("Loss", "loss", loss_chart(epochs, run.recipe.epochs), ".4f"),
        (
            "Accuracy",
            "accuracy",
            accuracy_chart(epochs, run.recipe.epochs, counts_of_series(run)),
            ".2%",
        ),
    )
    for column, (title, name, chart, number_format) in zip(columns, charts, strict=True):
        alt = f"{title} of training and test by epoch"
        # A text that changes would make the browser draw a live chart from scratch.
        if not run.active:
            train_value = format(epochs[-1][f"train_{name}"], number_format)
            test_value = format(epochs[-1][f"test_{name}"], number_format)
            alt += f", at the end {train_value} and {test_value}"
        column.altair_chart(chart, key=name, alt=alt)


def _draw_density_course(run: Run, epochs: list[dict[str, Any]]) -> None:
    """Draw how the density falls from epoch to epoch, where it does."""
    from core.charts.training import density_course_chart  # imports altair

    if not epochs or epochs[-1].get("density") is None:
        return
    st.altair_chart(
        density_course_chart(epochs, run.recipe.epochs),
        key="density_course",
        alt="Weights left at the end of each epoch",
    )
