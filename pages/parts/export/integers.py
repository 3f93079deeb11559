"""The step that makes an ONNX file of 8-bit integers and tests it by integer kernels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from core.commands.int8_flags import int8_command
from core.config import Int8Recipe, validate_recipe
from core.errors import UserError
from core.jobs.check import check_recipe
from core.runs import launch
from core.runs.int8 import int8_runs, newest_int8, request_int8
from core.runs.run import INT8, Run
from core.runs.store import RunStore
from pages.parts.server.permission import permission
from pages.parts.shared import shell
from pages.parts.shared.accuracies import interval_note
from pages.parts.shared.address import keep_in_address, parse_flag
from pages.parts.shared.fields import help_text, number_field
from pages.parts.shared.live_runs import draw_live_runs, draw_run_boxes
from pages.parts.shared.metrics import draw_metric
from pages.parts.shared.words import REAL_INTEGERS, percent, plain, size

_FLAGS = {"float_first": "First layer in float", "float_last": "Last layer in float"}


def draw_integers(store: RunStore, run: Run, root: Path) -> None:
    """Draw the settings and the button, and what was made of the network so far.

    root: the folder of the data sets.
    """
    form, results = st.columns([5, 6], gap="large")
    with form:
        st.markdown(
            "Weights and activations become 8-bit integers. The file is about four times smaller,"
            " and on processors with integer instructions (VNNI) it can be faster: measure under"
            " **Speed**. Training images set the scale of each activation. The accuracy is measured"
            " on all test images **by the integer kernels themselves**."
        )
        try:
            recipe = _draw_form()
            check_recipe(recipe, root, dataset=run.dataset)
        except UserError as error:
            st.error(plain(str(error)), icon=":material/error:")
            return
    with results:
        _draw_button(store, run, recipe, root)
        _draw_results(store, run)
        st.subheader("The same from a terminal", anchor=False)
        st.code(int8_command(recipe, run.id), language="bash", wrap_lines=True)


def _draw_form() -> Int8Recipe:
    place = st.container()
    number_field(place, Int8Recipe, "images", 64, key="int8_images", label="Calibration images")
    values: dict[str, Any] = {"images": st.session_state["int8_images"]}
    for name, label in _FLAGS.items():
        key = f"int8_{name}"
        keep_in_address(key, False, parse_flag)
        values[name] = st.toggle(
            label, key=key, persist_state="session", help=help_text(Int8Recipe, name)
        )
    return validate_recipe(Int8Recipe, values)


def _draw_button(store: RunStore, run: Run, recipe: Int8Recipe, root: Path) -> None:
    clicked = st.button(
        "Make it in integers",
        icon=":material/play_arrow:",
        type="primary",
        key="make_int8",
        width="stretch",
        **permission(
            None,
            "It runs in a process of its own, so you can close the browser. The same settings are"
            " made once: if they were already, this opens their run.",
        ),
    )
    if clicked:
        with shell.showing_errors():
            made = request_int8(store, run, recipe)
            if made.state == "finished":
                shell.open_run(made.id)
            launch.resume(made, root)
            st.rerun()


def _draw_results(store: RunStore, run: Run) -> None:
    runs = int8_runs(store, run)
    if any(made.active for made in runs):
        draw_live_runs(runs, lambda: int8_runs(store, run), "int8")
        return
    if not runs:
        st.info("Nothing was made of this network yet.", icon=":material/memory:")
        return
    shown = newest_int8(store, run)
    shown_id = shown.id if shown else ""
    if runs[0].id != shown_id:
        draw_run_boxes(runs[:1])  # it failed, or was stopped
    if shown is not None:
        _draw_figures(shown)
    _draw_earlier([made for made in runs[1:] if made.id != shown_id])


def _draw_figures(made: Run) -> None:
    """Draw the accuracy before and after, and the size of the newest file."""
    summary = made.status.summary
    if summary is None:
        return
    before = summary.parent_accuracy
    points = None if before is None else 100 * (summary.test_accuracy - before)
    file_bytes = (made.path / INT8).stat().st_size
    with st.container(horizontal=True, key="int8_figures"):
        draw_metric("In float", percent(before), "by PyTorch", "On the same test images.")
        draw_metric(
            "In integers",
            percent(summary.test_accuracy),
            None if points is None else f"{points:+.2f} points",
            interval_note(made, summary.test_accuracy),
        )
        smaller = (summary.float_bytes or file_bytes) / file_bytes
        draw_metric(
            "ONNX file", size(file_bytes), f"{smaller:.1f}× smaller", f"{file_bytes:,} bytes."
        )
    st.caption(f"{REAL_INTEGERS} {plain(made.name)}.")
    with st.container(horizontal=True):
        st.page_link("pages/runs.py", label="Its run", query_params={"run": made.id})
        st.download_button(
            "Download",
            (made.path / INT8).read_bytes,
            f"{made.model}-{made.dataset}-{made.id}-int8.onnx".replace("/", "-"),
            icon=":material/download:",
            key="download_int8",
            on_click="ignore",
        )


def _draw_earlier(runs: Sequence[Run]) -> None:
    if not runs:
        return
    with st.expander(f"Earlier ones ({len(runs)})", icon=":material/history:"):
        draw_run_boxes(runs)
