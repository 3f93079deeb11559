"""The forecast of a quantization: sizes on disk, and the time of tuning."""

from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.config import QuantizeRecipe
from core.forecast.quantization import QuantizationPlan, plan_quantization
from core.runs.run import Run
from pages.parts.quantize.model import layer_memory, load_parent
from pages.parts.shared.metrics import draw_metric
from pages.parts.shared.progress import drain
from pages.parts.shared.tuning_cost import tuning_cost
from pages.parts.shared.words import SIMULATED_QUANTIZATION, duration, size


def quantization_plan(run: Run, recipe: QuantizeRecipe, place: DeltaGenerator) -> QuantizationPlan:
    """Return the plan of the recipe, and draw the progress at `place`.

    Layers that were planned with the same settings are taken from the memory.
    """
    saved, packed = load_parent(run)
    return drain(plan_quantization(saved, recipe, layer_memory(run), packed), place)


def draw_plan_totals(run: Run, recipe: QuantizeRecipe, plan: QuantizationPlan, root: Path) -> None:
    """Draw the totals of the plan as metrics."""
    layers = [layer for layer in plan.layers if layer.choice]
    if not layers:
        st.warning(
            "Every layer is left out: there is nothing to quantize.", icon=":material/block:"
        )
    weights = sum(layer.weights for layer in layers)
    bits = 8 * sum(layer.bytes for layer in layers) / max(1, weights)
    with st.container(horizontal=True, key="sums"):
        draw_metric(
            "Float",
            size(plan.float_bytes),
            f"{weights:,} weights",
            "The size of all tensors uncompressed, and the number of weights to quantize.",
        )
        draw_metric(
            "Packed, estimated",
            size(plan.packed_bytes),
            f"{bits:.2f} bits a weight",
            "The size of the packed file: entropy-coded indices, codebooks or scales, and"
            " everything that is not quantized. Tuning can change it by a few percent.",
        )
        draw_metric("Smaller by", f"{plan.ratio:.1f}×", "on disk")
        draw_metric("Tuning, about", *_tuning_time(run, recipe, root))
    st.caption(SIMULATED_QUANTIZATION)


def _tuning_time(run: Run, recipe: QuantizeRecipe, root: Path) -> tuple[str, str]:
    """Return the time that tuning takes in words, and what the estimate is based on."""
    if not recipe.epochs:
        return "—", "no tuning"
    cost = tuning_cost(run, root)
    if cost is None:
        return "—", f"{run.dataset} is gone"
    source = "from its training's speed" if cost.is_measured else "a rule of thumb for CPUs"
    return duration(cost.seconds(recipe.epochs, recipe.train_images)), source
