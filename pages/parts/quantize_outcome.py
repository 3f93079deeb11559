"""What a quantization would come to, before it runs: sizes as they would be on disk, and how long tuning takes."""

import os
from pathlib import Path
from typing import Any

import streamlit as st

from core import data
from core.config import KMeansRecipe, Quantizing
from core.inspect.plan import Plan, plan, tuning_seconds
from core.models import info
from core.runs.run import Run
from pages.parts import quantize_model
from pages.parts.importing import followed
from pages.parts.states import duration, size


def planned(run: Run, recipe: Quantizing, place) -> Plan:
    """The plan of the recipe, from what is remembered of the layers, or with the progress shown at `place`."""
    saved, packed = quantize_model.load(run)
    results: list[Plan] = []

    def kept():
        results.append((yield from plan(saved, recipe, quantize_model.memory(run), packed)))

    followed(kept(), place)
    return results[0]


def draw(run: Run, recipe: Quantizing, found: Plan, root: Path) -> None:
    """Draw the sums as metrics."""
    look: dict[str, Any] = {"border": True, "delta_color": "off", "delta_arrow": "off"}
    layers = [layer for layer in found.layers if layer.choice]
    weights = sum(layer.weights for layer in layers)
    if not layers:
        st.warning("Every layer is left out: there is nothing to quantize.", icon=":material/block:")
    bits = 8 * sum(layer.bytes for layer in layers) / max(1, weights)
    with st.container(horizontal=True, key="sums"):
        st.metric("Float", size(found.float_bytes), f"{weights:,} weights", **look,
                  help="All tensors uncompressed, and how many weights would be quantized.")
        st.metric("Packed, estimated", size(found.packed_bytes), f"{bits:.2f} bits a weight", **look,
                  help="The packed file without tuning, which moves it by a few percent: entropy-coded indices, "
                       "codebooks, and everything that is not quantized.")
        st.metric("Smaller by", f"{found.ratio:.1f}×", "on disk", **look)
        st.metric("Tuning, about", *_tuning(run, recipe, root), **look)
    st.caption("Quantized weights are computed with in float here: the size is real, a speed-up is not.")


def _tuning(run: Run, recipe: Quantizing, root: Path) -> tuple[str, str]:
    """The time that tuning takes, and what that is guessed from."""
    if not isinstance(recipe, KMeansRecipe) or not recipe.epochs:
        return "—", "no tuning"
    choice = next((choice for choice in data.available(root) if choice.name == run.dataset), None)
    if choice is None:
        return "—", f"{run.dataset} is gone"
    images = min(recipe.train_images or choice.info.train_images, choice.info.train_images)
    facts, speed = info(run.model), run.status.summary.get("images_per_second")
    macs = facts.macs * (choice.info.side / facts.side) ** 2
    seconds = tuning_seconds(images * recipe.epochs, macs, speed, os.cpu_count() or 1)
    return duration(seconds), "from its training's speed" if speed else "a rule of thumb for CPUs"
