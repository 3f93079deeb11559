"""One run: what it does now, what came out, and how."""

from datetime import datetime

import pandas as pd
import streamlit as st

from core.baseline import command
from core.errors import UserError
from core.runs.store import Run, RunStore
from pages.parts import run_actions
from pages.parts.states import badge, duration, kept, percent, plain


def show(store: RunStore, id: str) -> None:
    """Draw the run with this id, or say why it cannot be shown."""
    st.button("All runs", icon=":material/arrow_back:", type="tertiary", on_click=st.query_params.clear, key="back")
    try:
        run = store.get(id)
    except UserError as error:
        st.error(str(error), icon=":material/search_off:")
        return
    with st.container(horizontal=True, vertical_alignment="center", key="header"):
        st.title(plain(run.name), width="content", anchor=False)
        badge(run)
    recipe, created = run.recipe, datetime.fromtimestamp(run.config.created)
    st.caption(f"{recipe.model} on {plain(recipe.dataset)}, {kept(recipe.density)} · created "
               f"{created:%d %b %Y, %H:%M} · on {run.status.device or recipe.device} · {id}")
    run_actions.show(store, run)
    _live(store, run)


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
        _figures(run, rows)
        _curves(run, rows)
        _details(store, run)

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
        st.success(_achieved(store, run), icon=":material/check_circle:")
    elif run.state == "failed":
        st.error(run.status.message or "It failed without a word; the log may say more.", icon=":material/error:",
                 title="This run failed")
    elif run.state == "created":
        st.info("This run was never started.", icon=":material/draft:")
    else:
        why = run.status.message if run.state == "cancelled" or run.status.state == "interrupted" else (
            "Its process ended without a word: killed, short of memory, or the machine went down.")
        st.warning(f"{why} It got to epoch {run.status.epoch} of {run.recipe.epochs}: **Resume** goes on from the last "
                   "checkpoint, to the result that it would have had.", icon=":material/power_off:")


def _achieved(store: RunStore, run: Run) -> str:
    result, recipe = run.status.summary, run.recipe
    share = f"{result['kept']:,} of its {result['prunable']:,} weights" if recipe.prune else "all its weights"
    text = (f"{recipe.model} keeps {share} and gets **{percent(result['test_accuracy'])}** of the test images right, "
            f"after {duration(result['train_seconds'])} of training.")
    others = [other for other in store.list() if other.state == "finished" and other.recipe.density != recipe.density
              and (other.recipe.model, other.recipe.dataset) == (recipe.model, recipe.dataset)]
    if not others:
        return text + " Next: **Duplicate with changes**, and " + (
            "train it dense to see what the cut weights were worth, or keep only a fifth of these." if recipe.prune
            else "cut 90% of it.")
    densest = max(others, key=lambda other: other.recipe.density)
    return text + (f" For comparison: “{plain(densest.name)}” ({kept(densest.recipe.density)}) got "
                   f"{percent(densest.status.test_accuracy)}.")


def _figures(run: Run, rows: list[dict]) -> None:
    status, summary = run.status, run.status.summary
    with st.container(horizontal=True, key="figures"):
        st.metric("Test accuracy", percent(status.test_accuracy), border=True)
        st.metric("Best", percent(status.best_accuracy), border=True, help="The best test accuracy of any epoch.")
        st.metric("Weights kept", f"{summary['kept']:,}" if "kept" in summary else "—", border=True,
                  help=f"Of {summary['prunable']:,} prunable weights." if "prunable" in summary else None)
        st.metric("Images a second", f"{rows[-1]['images_per_second']:,.0f}" if rows else "—", border=True)
        st.metric("Epoch", f"{status.epoch} / {run.recipe.epochs}", border=True)


def _curves(run: Run, rows: list[dict]) -> None:
    from core.charts import training  # brings altair, which the table does not need

    charts = ("Loss", "loss", training.loss, "{:.3f}"), ("Accuracy", "accuracy", training.accuracy, "{:.1%}")
    for column, (title, name, chart, form) in zip(st.columns(2), charts, strict=True):
        alt = f"{title} of training and test by epoch"
        if rows and not run.active:  # a text that changes would have a live chart drawn from scratch
            alt += ", at the end " + " and ".join(form.format(rows[-1][f"{part}_{name}"]) for part in ("train", "test"))
        column.altair_chart(chart(rows, run.recipe.epochs), key=name, alt=alt)


def _details(store: RunStore, run: Run) -> None:
    """What only some want to see; a tab's inside is computed while it is open."""
    layers, pace, log, settings, line = st.tabs(["Layers", "Pace", "Log", "Settings", "Command"], key="details",
                                                on_change="rerun")
    if layers.open:
        with layers:
            _layers(store, run)
    if pace.open:
        from core.charts import training

        rows = store.epochs(run.id)
        for column, chart, title in zip(pace.columns(2), (training.learning_rate, training.speed),
                                        ("Learning rate by epoch", "Training images a second by epoch"), strict=True):
            column.altair_chart(chart(rows, run.recipe.epochs), key=title, alt=title)
    if log.open:
        tail = "\n".join(store.log(run.id, 20_000).splitlines()[-200:])
        log.container(height=320, autoscroll=True, border=False).code(tail or "Nothing yet.", language=None,
                                                                      wrap_lines=True)
    if settings.open:
        settings.table(_settings(run), alt="The settings of this run", border="horizontal", hide_index=True)
    if line.open:
        line.caption("The same training from a terminal, in the app's folder:")
        line.code(command(run.recipe), language="bash", wrap_lines=True)


def _layers(store: RunStore, run: Run) -> None:
    from core.charts import training

    if pruned := next((event for event in store.events(run.id) if event["event"] == "pruned"), None):
        st.altair_chart(training.density(pruned["layers"]), key="density",
                        alt=f"Share of weights kept in each of {len(pruned['layers'])} layers")
    elif run.recipe.prune is None:
        st.caption("A dense network: every layer keeps all its weights.")
    else:
        st.caption("The weights to keep are chosen right before the first epoch.")


def _settings(run: Run) -> pd.DataFrame:
    """The recipe, a line a setting, with what each means."""
    def lines(model, prefix: str = ""):
        for name, field in type(model).model_fields.items():
            value = getattr(model, name)
            if hasattr(type(value), "model_fields"):
                yield from lines(value, f"{name}: ")
            elif name != "kind":
                yield prefix + name.replace("_", " "), "—" if value is None else str(value), field.description or ""

    return pd.DataFrame(list(lines(run.recipe)), columns=["Setting", "Value", "Meaning"])
