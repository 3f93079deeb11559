"""One run: what it does now, what came out, and how."""

from datetime import datetime

import streamlit as st

from core.errors import UserError
from core.runs.run import Run
from core.runs.store import RunStore, describe
from pages.parts import run_actions, run_details, run_outcome
from pages.parts.states import badge, duration, kept, percent, plain


def show(store: RunStore, id: str) -> None:
    """Draw the run with this id, or say why it cannot be shown."""
    st.button("All runs", icon=":material/arrow_back:", type="tertiary", on_click=st.query_params.clear, key="back")
    try:
        run = store.get(id)
    except UserError as error:
        st.error(plain(str(error)), icon=":material/search_off:")
        return
    with st.container(horizontal=True, vertical_alignment="center", key="header"):
        st.title(plain(run.name), width="content", anchor=False)
        badge(run)
    created, density = datetime.fromtimestamp(run.config.created), run.status.summary.get("density", run.density)
    st.caption(f"{run.model} on {plain(run.dataset)}, {kept(density)} · created "
               f"{created:%d %b %Y, %H:%M} · on {run.status.device or run.recipe.device} · {id}")
    _lineage(store, run)
    run_actions.show(store, run)
    _live(store, run)


def _lineage(store: RunStore, run: Run) -> None:
    """The models that led here, each a link to its run."""
    if not (ancestors := store.lineage(run.id)[:-1]):
        if run.config.parent:
            st.caption("The run that it was made from was deleted, or is damaged.")
        return
    with st.container(horizontal=True, vertical_alignment="center", key="lineage"):
        st.markdown("Made from", width="content")
        for ancestor in ancestors:
            st.page_link("pages/runs.py", label=plain(ancestor.name), query_params={"run": ancestor.id},
                         icon=":material/account_tree:", width="content",
                         help=f"{plain(describe(ancestor.recipe))}, {percent(ancestor.status.test_accuracy)} right.")
            st.markdown(":material/arrow_forward:", width="content")
        st.markdown(f"**{plain(run.name)}**", width="content")


def _live(store: RunStore, then: Run) -> None:
    """Everything that changes while the run does, once a second; a new state draws the whole page again."""
    @st.fragment(run_every=1 if then.active else None, key="live")
    def live() -> None:
        try:
            run = store.get(then.id)
        except UserError:  # deleted in another tab
            st.rerun()
        if run.state != then.state:
            st.rerun()
        rows = store.epochs(run.id)
        _progress(run) if run.active else _outcome(store, run)
        run_outcome.figures(run, rows)
        if run.recipe.epochs > 1:  # one point is no curve
            _curves(run, rows)
        if run.recipe.kind in ("kmeans", "affine"):
            st.caption("The weights are quantized and computed with in float: the size is real, a speed-up is not.")
        run_details.draw(store, run)

    live()


def _progress(run: Run) -> None:
    status = run.status
    left = f" · about {duration(status.seconds_left)} left" if status.seconds_left else ""
    count = f" · {status.done:,} of {status.total:,} {status.unit}" if status.total else ""
    share = status.progress if status.unit == "batches" or not status.total else status.done / status.total
    st.progress(min(1.0, share), text=f"{status.stage or 'Starting'}{count}{left}")


def _outcome(store: RunStore, run: Run) -> None:
    """One sentence: what became of it, and what to do next."""
    if run.state == "finished":
        st.success(run_outcome.sentence(store, run), icon=":material/check_circle:")
    elif run.state == "failed":
        st.error(plain(run.status.message) or "It failed without a word; the log may say more.",
                 icon=":material/error:", title="This run failed")
    elif run.state == "created":
        st.info("This run was never started.", icon=":material/draft:")
    else:
        why = plain(run.status.message) if run.state == "cancelled" or run.status.state == "interrupted" else (
            "Its process ended without a word: killed, short of memory, or the machine went down.")
        epochs = run.recipe.epochs
        st.warning(f"{why} " + (f"It got to epoch {run.status.epoch} of {epochs}: **Resume** goes on from the last "
                                "checkpoint, to the result that it would have had." if epochs else
                                "**Resume** does it again."), icon=":material/power_off:")


def _curves(run: Run, rows: list[dict]) -> None:
    from core.charts import training  # brings altair, which the table does not need

    charts = ("Loss", "loss", training.loss, "{:.3f}"), ("Accuracy", "accuracy", training.accuracy, "{:.1%}")
    for column, (title, name, chart, form) in zip(st.columns(2), charts, strict=True):
        alt = f"{title} of training and test by epoch"
        if rows and not run.active:  # a text that changes would have a live chart drawn from scratch
            alt += ", at the end " + " and ".join(form.format(rows[-1][f"{part}_{name}"]) for part in ("train", "test"))
        column.altair_chart(chart(rows, run.recipe.epochs), key=name, alt=alt)
