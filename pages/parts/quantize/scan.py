"""The sensitivity scan on the quantize page: it quantizes one layer at a time and measures.

The scan continues a little at every run of a live fragment.
"""

from collections.abc import Generator
from pathlib import Path

import streamlit as st

from core import data
from core.config import QuantizeRecipe
from core.errors import UserError
from core.events import Progress
from core.forecast import sensitivity
from core.forecast.quantization import setting_key
from core.runs.run import Run, explain_unwritable
from pages.parts.quantize.model import load_parent
from pages.parts.shared.address import keep_in_address, parse_flag
from pages.parts.shared.get_images import draw_get_images, has_images_here
from pages.parts.shared.running_scan import PIECE_SECONDS, RunningScan, draw_progress_row


def is_scan_on() -> bool:
    """Whether a scan runs. The address carries it as ?scan=on, so that a refresh continues it."""
    keep_in_address("scan_on", False, {"on": True}.get, name="scan", to_text=lambda _: "on")
    return st.session_state["scan_on"]


def chosen_measure() -> sensitivity.Measure:
    """What a scan measures: the divergence, unless the switch below the chart is on."""
    keep_in_address("scan_accuracy", False, parse_flag)
    return "accuracy" if st.session_state["scan_accuracy"] else "divergence"


def draw_sensitivity_scan(
    run: Run,
    recipe: QuantizeRecipe,
    root: Path,
    scan: sensitivity.SensitivityScan,
    missing_layers: list[str],
) -> None:
    """Draw the scan's button, or the progress of a running scan, which continues a little.

    scan: The results so far.
    missing_layers: The layers that are not scanned yet.
    """
    _draw_measure_switch()
    has_images = has_images_here(run.dataset, root)
    if is_scan_on():
        if not has_images:  # the address is from another machine
            _end_scan()
        _continue_scan(run, recipe, root, scan.measure)
        return
    if not missing_layers:
        st.caption(_reliability(scan))
        return
    if not has_images:
        draw_get_images("A scan", run.dataset, root, key="scan_data")
        return
    if st.button(
        _button_label(scan, len(missing_layers)),
        icon=":material/troubleshoot:",
        key="scan",
        help=(
            "Quantizes one layer at a time, with all others in float, and measures what that"
            " costs. There is no tuning, and BatchNorm stays as it is. So the scan compares"
            " layers; it does not forecast the accuracy."
        ),
    ):
        st.session_state["scan_on"] = True
        st.rerun()
    st.caption(_reliability(scan))


def _draw_measure_switch() -> None:
    st.toggle(
        "Measure the accuracy on test images instead",
        key="scan_accuracy",
        persist_state="session",
        help=(
            "Off: the Kullback-Leibler divergence from the float network's answers on training"
            " images, in nats. It needs no labels, and notices changes that flip no answer. On: the"
            " accuracy on test images. What you choose by it has seen the test images, so the"
            " accuracy that the run then reports is a little optimistic."
        ),
    )


def _button_label(scan: sensitivity.SensitivityScan, missing: int) -> str:
    if not scan.layers:
        return "Scan"
    return f"Scan {missing} more layer{'s' if missing > 1 else ''}"


def _reliability(scan: sensitivity.SensitivityScan) -> str:
    """Say which images were tested, and how certain the results are."""
    kind = "test" if scan.measure == "accuracy" else "training"
    if scan.images < scan.of_images:
        images = f"{scan.images:,} of {scan.of_images:,} {kind} images, the same for every layer"
    else:
        images = f"all {scan.of_images:,} {kind} images"
    if not scan.layers:
        return f"Each layer alone, on {images}."
    errors = [cost.error for cost in scan.layers.values()]
    lowest = f"{min(errors):.2g}"
    highest = f"{max(errors):.2g}"
    error = lowest if lowest == highest else f"{lowest} to {highest}"
    unit = "points" if scan.measure == "accuracy" else "nats"
    return (
        f"Each layer alone, on {images}, with standard errors of {error} {unit}. Pale bars are"
        " within two standard errors of zero, so they may be chance. There is no tuning, and"
        " BatchNorm stays as it is."
    )


# -- a running scan --


def _continue_scan(
    run: Run, recipe: QuantizeRecipe, root: Path, measure: sensitivity.Measure
) -> None:
    """Draw the progress and the Stop button, and scan for a moment."""
    scan: RunningScan | None = st.session_state.get("scanning")
    key = _scan_key(run, recipe, measure)
    if scan is not None and scan.key != key:  # the settings have changed
        _end_scan()
    bar = draw_progress_row("scan", _end_scan)
    if scan is None:
        bar.progress(0.0, text="Starting …")
    else:
        bar.progress(scan.share, text=scan.text)
    try:
        if scan is None:
            scan = RunningScan(key, _start_scan(run, recipe, root, measure))
            st.session_state["scanning"] = scan
        with explain_unwritable(run.path.parent):
            has_more = scan.run_for(PIECE_SECONDS)
    except (UserError, RuntimeError, MemoryError) as error:  # torch raises the last two
        st.session_state["scan_failed"] = str(error) or "Out of memory."
        has_more = False
    if not has_more:
        _end_scan()


def _end_scan() -> None:
    """End the scan and draw the page again. The results so far are kept."""
    st.session_state["scan_on"] = False
    st.session_state.pop("scanning", None)
    st.rerun()


def _scan_key(run: Run, recipe: QuantizeRecipe, measure: sensitivity.Measure) -> str:
    """Return all settings that the results of a scan depend on, as a text."""
    settings = setting_key(recipe, "all others")
    return f"{run.id} {measure} {settings} {recipe.layers} {recipe.batchnorm}"


def _start_scan(
    run: Run, recipe: QuantizeRecipe, root: Path, measure: sensitivity.Measure
) -> Generator[Progress, None, object]:
    from core.training.device import choose_device

    saved, packed = load_parent(run)
    return sensitivity.scan_sensitivity(
        saved,
        data.load(run.dataset, root),
        recipe,
        run.path,
        measure,
        packed=packed,
        device=choose_device(recipe.device),
    )
