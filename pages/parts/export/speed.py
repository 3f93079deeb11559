"""The step that measures how fast a network is here, in float and in integers."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from core.charts.latency import latency_alt_text, latency_chart
from core.commands.latency import latency_command
from core.config import LatencyRecipe, validate_recipe
from core.deploy.latency_report import LatencyReport, describe_speed, table_rows
from core.deploy.openvino_engine import MISSING_OPENVINO, has_openvino
from core.errors import UserError
from core.jobs.check import check_recipe
from core.runs import launch
from core.runs.latency import (
    latency_runs,
    latency_subject,
    newest_latencies,
    read_latency,
    request_latency,
)
from core.runs.run import Run
from core.runs.store import RunStore
from pages.parts.server.permission import permission
from pages.parts.shared import shell
from pages.parts.shared.address import keep_in_address, parse_flag
from pages.parts.shared.fields import help_text, number_field
from pages.parts.shared.live_runs import draw_live_runs, draw_run_boxes
from pages.parts.shared.words import plain

_BATCH_SIZES = [1, 8, 32, 128]
_DEFAULT_BATCHES = (1, 32)

_COLUMNS = {
    "batch": st.column_config.NumberColumn("Batch", help="Images in one call."),
    "variant": st.column_config.TextColumn("Form"),
    "median": st.column_config.NumberColumn("Median (ms)", format="%.2f"),
    "spread": st.column_config.NumberColumn(
        "Spread (ms)", format="%.2f", help="The middle half of all calls lies in such a range."
    ),
    "p95": st.column_config.NumberColumn("95% below (ms)", format="%.2f"),
    "speedup": st.column_config.NumberColumn(
        "Times as fast", format="%.2f", help="Compared with eager PyTorch, in the same rounds."
    ),
    "low": st.column_config.NumberColumn("At least", format="%.2f", help="95% interval."),
    "high": st.column_config.NumberColumn("At most", format="%.2f", help="95% interval."),
    "rounds": st.column_config.NumberColumn("Rounds", help="How often each form was timed."),
}


def draw_speed(store: RunStore, run: Run, root: Path) -> None:
    """Draw the settings and the button, and the newest measurement.

    root: the folder of the data sets.
    """
    form, results = st.columns([4, 7], gap="large")
    with form:
        st.markdown(
            "Every form of the network runs in turn, many times, in one process, so that whatever"
            " else this machine does slows all of them alike."
        )
        st.caption(_subject_text(store, run))
        try:
            recipe = _draw_form()
            check_recipe(recipe, root, dataset=run.dataset)
        except UserError as error:
            st.error(plain(str(error)), icon=":material/error:")
            return
        runs = latency_runs(store, run)
        _draw_button(store, run, recipe, runs, root)
        if not has_openvino():
            st.caption(f"OpenVINO is measured too where it is installed. {MISSING_OPENVINO}.")
        st.markdown("**The same from a terminal**")
        st.code(latency_command(recipe, run.id), language="bash", wrap_lines=True)
    with results:
        _draw_results(store, run, runs)


def _subject_text(store: RunStore, run: Run) -> str:
    made = latency_subject(store, run).int8
    if made is None:
        return (
            "There is no 8-bit file of this network yet. One is made for the measurement alone; its"
            " accuracy is not measured."
        )
    return f"The 8-bit file is that of “{plain(made.name)}”."


def _draw_form() -> LatencyRecipe:
    batches = st.pills(
        "Images in a call",
        _BATCH_SIZES,
        selection_mode="multi",
        default=_DEFAULT_BATCHES,
        key="latency_batches",
        persist_state="session",
        help=help_text(LatencyRecipe, "batch_sizes"),
    )
    place = st.container()
    number_field(place, LatencyRecipe, "seconds", 5, key="latency_seconds", label="Seconds a size")
    keep_in_address("latency_compiled", False, parse_flag)
    compiled = st.toggle(
        "Also torch.compile",
        key="latency_compiled",
        persist_state="session",
        help=help_text(LatencyRecipe, "compiled"),
    )
    values: dict[str, Any] = {
        "batch_sizes": tuple(sorted(batches)),
        "seconds": st.session_state["latency_seconds"],
        "compiled": compiled,
    }
    if not batches:
        raise UserError("Choose at least one number of images.")
    return validate_recipe(LatencyRecipe, values)


def _draw_button(
    store: RunStore, run: Run, recipe: LatencyRecipe, runs: Sequence[Run], root: Path
) -> None:
    is_busy = any(measured.active for measured in runs)
    clicked = st.button(
        "Measure",
        icon=":material/speed:",
        type="primary",
        key="measure_speed",
        width="stretch",
        **permission(
            None,
            "It waits until no other run works on the processor, because that would slow it.",
            is_busy,
        ),
    )
    if clicked:
        with shell.showing_errors():
            launch.start(request_latency(store, run, recipe), root)
            st.rerun()


def _draw_results(store: RunStore, run: Run, runs: Sequence[Run]) -> None:
    active = [measured for measured in runs if measured.active]
    if active:
        ids = {measured.id for measured in active}
        draw_live_runs(active, lambda: _runs_with(store, run, ids), "latency")
        return
    if runs and runs[0].state != "finished":
        draw_run_boxes(runs[:1])  # it failed, or was stopped
    measured = newest_latencies(runs).get(run.id)
    if measured is None:
        st.info("The speed of this network was not measured yet.", icon=":material/speed:")
        return
    _draw_report(read_latency(measured), measured.id)


def _runs_with(store: RunStore, run: Run, ids: Collection[str]) -> list[Run]:
    return [measured for measured in latency_runs(store, run) if measured.id in ids]


def _draw_report(report: LatencyReport, run_id: str) -> None:
    """Draw what it says in sentences, first of all what is slower, then charts and the table."""
    for sentence in describe_speed(report):
        if sentence.startswith("SLOWER"):
            st.warning(plain(sentence), icon=":material/trending_down:")
        else:
            st.markdown(plain(sentence))
    columns = st.columns(min(2, len(report.batches)))
    for place, batch in enumerate(report.batches):
        with columns[place % len(columns)]:
            st.altair_chart(
                latency_chart(batch), key=f"latency_{batch.batch}", alt=latency_alt_text(batch)
            )
    rows = [{name: row[name] for name in _COLUMNS} for row in table_rows(report)]
    st.dataframe(rows, column_config=_COLUMNS, hide_index=True, key="latency_table")
    st.page_link("pages/runs.py", label="Its run and log", query_params={"run": run_id})
