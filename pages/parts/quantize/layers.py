"""The layers of a quantization plan as a table, with the sensitivity of each as a chart.

The table, the chart and the field above them choose the same layers.
"""

from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from core import data
from core.config import QuantizeRecipe
from core.forecast import sensitivity
from core.forecast.quantization import LayerForecast, QuantizationPlan
from core.models.card import ModelCard
from core.runs.run import Run
from core.training.held_back import count_held_back
from pages.parts.quantize.layer_settings import draw_layer_settings, unit_of
from pages.parts.quantize.model import load_parent
from pages.parts.quantize.scan import chosen_measure, draw_sensitivity_scan, is_scan_on
from pages.parts.shared.columns import QUANTIZED_LAYER_COLUMNS
from pages.parts.shared.running_scan import SECONDS_BETWEEN_PIECES
from pages.parts.shared.words import levels, plain

_COLUMNS = {
    "layer": QUANTIZED_LAYER_COLUMNS["layer"],
    "weights": QUANTIZED_LAYER_COLUMNS["weights"],
    "zeros": st.column_config.NumberColumn(
        "Zeros", format="percent", help="Fraction of the weights that are exactly 0."
    ),
    "choice": st.column_config.TextColumn("Setting"),
    "levels": QUANTIZED_LAYER_COLUMNS["levels"],
    "bits": QUANTIZED_LAYER_COLUMNS["bits"],
    "bytes": QUANTIZED_LAYER_COLUMNS["bytes"],
    "snr": QUANTIZED_LAYER_COLUMNS["snr"],
}
_COST_COLUMNS: dict[sensitivity.Measure, Any] = {
    "divergence": st.column_config.NumberColumn(
        "KL (nats)",
        format="%.3g",
        help=(
            "Mean Kullback-Leibler divergence from the float network's answers on training images"
            " if this layer alone is quantized. 0 means the same answers. It is empty until the"
            " layer was scanned."
        ),
    ),
    "accuracy": st.column_config.NumberColumn(
        "Lost (points)",
        format="%+.2f",
        help=(
            "Accuracy on test images, in percentage points, that is lost if this layer alone is"
            " quantized. It is empty until the layer was scanned."
        ),
    ),
}


def draw_layer_plans(run: Run, recipe: QuantizeRecipe, plan: QuantizationPlan, root: Path) -> None:
    """Draw the layers. While a scan runs, they are drawn again and again."""
    if recipe.rounding == "compensated":
        st.caption(
            "The figures are those of nearest rounding. Compensated rounding gives up some SNR of"
            " the weights for a lower output error."
        )

    @st.fragment(run_every=SECONDS_BETWEEN_PIECES if is_scan_on() else None, key="layers_live")
    def draw() -> None:
        saved, _ = load_parent(run)
        measure = chosen_measure()
        of_images = _images_to_scan(saved.card, measure, root)
        scan = sensitivity.load_scan(run.path, recipe, measure, of_images=of_images)
        draw_layer_settings(run.id, recipe, plan)
        left, right = st.columns([7, 5], gap="medium")
        with left:
            _draw_table(recipe, plan, scan)
        with right:
            _draw_chart(recipe, plan, scan)
            failure = st.session_state.pop("scan_failed", "")
            if failure:
                st.error(plain(failure), icon=":material/error:")
            missing_layers = sensitivity.unmeasured_layers(saved, recipe, scan)
            draw_sensitivity_scan(run, recipe, root, scan, missing_layers)

    draw()


def _images_to_scan(card: ModelCard, measure: sensitivity.Measure, root: Path) -> int:
    """Return the number of images that a scan can use, 0 if the network's data set is gone."""
    datasets = {choice.name: choice.info for choice in data.available(root)}
    if card.dataset not in datasets:
        return 0
    info = datasets[card.dataset]
    if measure == "accuracy":
        return info.test_images
    return info.train_images - count_held_back(card)


# -- the table --


def _draw_table(
    recipe: QuantizeRecipe, plan: QuantizationPlan, scan: sensitivity.SensitivityScan
) -> None:
    rows = [_table_row(layer, recipe, scan) for layer in plan.layers]
    columns = _COLUMNS | {"cost": _COST_COLUMNS[scan.measure]}
    table = pd.DataFrame(rows, columns=list(columns))
    st.session_state["layers_shown"] = [layer.name for layer in plan.layers]
    st.dataframe(
        table,
        hide_index=True,
        key="layer_table",
        column_config=columns,
        on_select=_choose_clicked_rows,
        selection_mode=["multi-row", "single-cell"],
        height=min(38 + 35 * len(rows), 640),
        placeholder="—",
        alt=f"The forecast for each of {len(rows)} layers",
    )


def _table_row(
    layer: LayerForecast, recipe: QuantizeRecipe, scan: sensitivity.SensitivityScan
) -> dict[str, Any]:
    is_scanned = layer.choice and layer.name in scan.layers
    return {
        "layer": layer.name,
        "weights": layer.weights,
        "zeros": layer.zeros / layer.weights,
        "choice": f"{layer.choice} {unit_of(recipe)}" if layer.choice else "float",
        "levels": None if layer.levels is None else levels(layer.levels, layer.pinned_zeros),
        "bits": layer.bits,
        "bytes": round(layer.bytes),
        "snr": layer.snr,
        "cost": scan.layers[layer.name].mean if is_scanned else None,
    }


def _choose_clicked_rows() -> None:
    state = st.session_state
    selection = state["layer_table"]["selection"]
    rows = selection["rows"] or [row for row, _ in selection["cells"]]
    state["picked_layers"] = [state["layers_shown"][row] for row in rows]


# -- the chart --


def _draw_chart(
    recipe: QuantizeRecipe, plan: QuantizationPlan, scan: sensitivity.SensitivityScan
) -> None:
    from core.charts import sensitivity as charts

    rows = charts.sensitivity_table(plan.layers, scan)
    if rows.empty:
        st.info(
            "How sensitive is each layer? A scan quantizes one layer at a time and measures how far"
            " the network's answers move. Then give more levels to the layers that need them.",
            icon=":material/troubleshoot:",
        )
        return
    names = [layer.name for layer in plan.layers if layer.choice]
    if is_scan_on():
        # A text that changes would make the browser draw a live chart anew.
        alt = "The cost of each layer quantized alone"
    else:
        alt = charts.sensitivity_alt_text(rows, scan.measure)
    st.altair_chart(
        charts.sensitivity_chart(rows, names, unit_of(recipe), scan.measure),
        key="sensitivity",
        on_select=_choose_clicked_bars,
        selection_mode=charts.SELECTION,
        alt=alt,
    )


def _choose_clicked_bars() -> None:
    from core.charts.sensitivity import SELECTION

    points = st.session_state["sensitivity"]["selection"][SELECTION]
    st.session_state["picked_layers"] = [point["layer"] for point in points]
