"""Layer by layer: what quantizing would do to each, how much accuracy it costs, and settings of a layer's own.

The table's rows, the chart's bars and the field above them choose the same layers.
"""

from pathlib import Path

import pandas as pd
import streamlit as st

from core.config import KMeansRecipe, Quantizing
from core.inspect import sensitivity
from core.inspect.plan import LayerPlan, Plan
from core.runs.run import Run
from pages.parts import quantize_form, quantize_model, quantize_scan
from pages.parts.states import plain

COLUMNS = {
    "layer": st.column_config.TextColumn("Layer", pinned=True),
    "weights": st.column_config.NumberColumn("Weights", format="localized"),
    "zeros": st.column_config.NumberColumn("Zeros", format="percent", help="Share of the weights that is exactly 0."),
    "choice": st.column_config.TextColumn("Setting"),
    "levels": st.column_config.NumberColumn("Levels", help="Different values in use; pinned zeros aside."),
    "bits": st.column_config.NumberColumn("Bits", format="%.2f", help=(
        "Bits a weight, of the packed file, entropy-coded; the layer's centroids or scales included.")),
    "bytes": st.column_config.NumberColumn("Bytes", format="localized", help="Of the packed file."),
    "snr": st.column_config.NumberColumn("SNR (dB)", format="%.1f", help=(
        "Signal-to-noise ratio of the weights before any tuning: six decibels are about one bit. Empty where nothing "
        "is lost.")),
    "points": st.column_config.NumberColumn("Lost", format="%+.1f", help=(
        "Accuracy that this layer alone costs, in percentage points, as far as it was scanned.")),
}


def draw(run: Run, recipe: Quantizing, plan: Plan, root: Path) -> None:
    """Draw all of it; drawn again by itself while a scan runs."""
    @st.fragment(run_every=0.1 if quantize_scan.running() else None, key="layers_live")
    def layers() -> None:
        saved, _ = quantize_model.load(run)
        known = sensitivity.load(run.path, recipe, of=_test_images(run, root))
        _own_settings(run, recipe, plan)
        left, right = st.columns([7, 5], gap="medium")
        with left:
            _table(recipe, plan, known)
        with right:
            _chart(recipe, plan, known)
            if failed := st.session_state.pop("scan_failed", ""):
                st.error(plain(failed), icon=":material/error:")
            quantize_scan.draw(run, recipe, root, known, sensitivity.missing(saved, recipe, known))

    layers()


def _test_images(run: Run, root: Path) -> int:
    from core import data

    return next((choice.info.test_images for choice in data.available(root) if choice.name == run.dataset), 0)


def _own_settings(run: Run, recipe: Quantizing, plan: Plan) -> None:
    """Which layers are chosen, and what to do with them."""
    state, unit = st.session_state, _unit(recipe)
    names = [layer.name for layer in plan.layers]
    state["picked_layers"] = [name for name in state.get("picked_layers", []) if name in names]
    with st.container(horizontal=True, vertical_alignment="bottom", key="own_settings"):
        st.multiselect("Layers to treat differently", names, key="picked_layers", placeholder="Choose layers",
                       help="Or click rows of the table, or bars of the chart (with Shift for several).")
        none = not state["picked_layers"]
        low, high, usual = (2, 256, 32) if unit == "clusters" else (2, 8, 8)
        number = st.number_input(unit.capitalize(), low, high, usual, key=f"own_{unit}", width=130, disabled=none,
                                 help=f"{unit.capitalize()} of the chosen layers.")
        pressed = [_button("Set", ":material/check:", "set", none, "Give the chosen layers this many.", run, number),
                   _button("Leave out", ":material/block:", "leave", none, "Keep the chosen layers in float.", run, 0),
                   _button("As the others", ":material/undo:", "undo", none or not recipe.layers,
                           "Forget what was set for the chosen layers.", run, None)]
    if any(pressed):
        st.rerun()  # the whole page: what is set here changes the sums above


def _button(label: str, icon: str, name: str, disabled: bool, text: str, run: Run, choice: int | None) -> bool:
    return st.button(label, icon=icon, key=f"own_{name}", disabled=disabled, help=text, width="content",
                     on_click=_set, args=(run.id, choice))


def _set(parent: str, choice: int | None) -> None:
    """Note a setting for the chosen layers; None forgets it."""
    chosen = quantize_form.choices(parent, st.session_state["quantize_method"])
    for name in st.session_state["picked_layers"]:
        chosen.pop(name, None)
        if choice is not None:
            chosen[name] = choice


def _table(recipe: Quantizing, plan: Plan, known: sensitivity.Scan) -> None:
    rows = pd.DataFrame([_row(layer, recipe, known) for layer in plan.layers], columns=list(COLUMNS))
    st.session_state["layers_shown"] = [layer.name for layer in plan.layers]
    st.dataframe(rows.astype({"levels": "Int64"}), hide_index=True, key="layer_table", column_config=COLUMNS,
                 on_select=_rows_chosen, selection_mode=["multi-row", "single-cell"],
                 height=min(38 + 35 * len(rows), 640), placeholder="—",
                 alt=f"What quantizing would do to each of {len(rows)} layers")


def _row(layer: LayerPlan, recipe: Quantizing, known: sensitivity.Scan) -> dict:
    points = 100 * known.drop(layer.name) if layer.choice and layer.name in known.layers else None
    return {"layer": layer.name, "weights": layer.weights, "zeros": layer.zeros / layer.weights,
            "choice": f"{layer.choice} {_unit(recipe)}" if layer.choice else "float", "levels": layer.levels,
            "bits": layer.bits, "bytes": round(layer.bytes), "snr": layer.snr, "points": points}


def _chart(recipe: Quantizing, plan: Plan, known: sensitivity.Scan) -> None:
    from core.charts import sensitivity as picture

    rows = picture.frame(plan.layers, known)
    if rows.empty:
        st.info("How much accuracy does each layer cost? A scan quantizes one at a time and counts: then give more "
                "levels to the ones that need them.", icon=":material/troubleshoot:")
        return
    alt = "Accuracy lost by each layer quantized alone"  # one that changes would have a live chart drawn from scratch
    names = [layer.name for layer in plan.layers if layer.choice]
    st.altair_chart(picture.chart(rows, names, _unit(recipe)), key="sensitivity", on_select=_bars_chosen,
                    selection_mode=picture.PICKED, alt=alt if quantize_scan.running() else picture.described(rows))


def _rows_chosen() -> None:
    chosen = st.session_state["layer_table"]["selection"]
    rows = chosen["rows"] or [row for row, _ in chosen["cells"]]
    st.session_state["picked_layers"] = [st.session_state["layers_shown"][row] for row in rows]


def _bars_chosen() -> None:
    chosen = st.session_state["sensitivity"]["selection"]["picked"]
    st.session_state["picked_layers"] = [point["layer"] for point in chosen]


def _unit(recipe: Quantizing) -> str:
    return "clusters" if isinstance(recipe, KMeansRecipe) else "bits"
