"""Draws what a pruning would keep: four figures and a chart of the layers' densities."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from core.compress.pruning.methods import PRUNING_METHODS
from core.config import TrainRecipe
from core.forecast.pace import Pace
from core.forecast.pruning import PrunedLayer, PrunedNetwork, PruningPreview
from pages.parts.shared.metrics import draw_metric
from pages.parts.shared.words import duration, part, short, size
from pages.parts.train.pruning import is_iterative

if TYPE_CHECKING:
    from core.charts.density import Pruning  # imports altair
    from core.forecast.paths import LiveShare  # imports torch

_MOST_DEAD_LAYERS = 6  # that are listed by name


def draw_forecast(recipe: TrainRecipe, preview: PruningPreview, pace: Pace) -> None:
    """Draw the figures and the chart of the recipe's density."""
    is_layerwise = bool(recipe.prune and recipe.prune.layerwise)
    pattern = recipe.prune.pattern if recipe.prune else "free"
    network = preview.at(recipe.density, is_layerwise, pattern)
    with st.container(horizontal=True, key="figures"):
        _draw_network_figures(network)
        live = _draw_live_share(recipe, preview)
        _draw_training_time(recipe, pace)
    if network.dead:
        _warn_of_dead_layers(network.dead)
    if live is not None and live.is_low:
        _warn_of_cut_paths(live)
    if recipe.prune is None:
        st.caption("A dense network: every layer keeps all its weights.")
        return
    chosen: Pruning = "layerwise" if is_layerwise else "global"
    layers: dict[Pruning, list[PrunedLayer]] = {chosen: network.layers}
    # An iterative method that is layerwise has other scores than a global one.
    has_other_scores = is_layerwise and is_iterative(recipe.prune)
    sets_densities = PRUNING_METHODS[recipe.prune.method].sets_layer_densities
    if not has_other_scores and not sets_densities and pattern == "free":
        other: Pruning = "global" if is_layerwise else "layerwise"
        layers[other] = preview.at(recipe.density, not is_layerwise).layers
    _draw_density_chart(layers)


def _draw_network_figures(network: PrunedNetwork) -> None:
    draw_metric(
        "Weights kept",
        f"{network.kept:,}",
        f"{part(network.kept / network.weights)} of {short(network.weights)}",
        f"Of {network.weights:,} prunable weights, which are those of the convolutions and linear"
        " layers.",
    )
    draw_metric(
        "Multiply-adds",
        short(network.macs_left),
        f"{part(network.macs_left / network.macs)} of {short(network.macs)}",
        "For one image, on a machine that skips every zero. Ordinary hardware does not.",
    )
    dense_bytes = network.size.dense
    draw_metric(
        "File, estimated",
        size(network.size.packed),
        f"in float: {size(dense_bytes)}",
        "The packed file of the trained network: the kept weights in float32 without losses, and"
        " masks that say where they are. Quantizing makes it much smaller.",
    )


def _draw_live_share(recipe: TrainRecipe, preview: PruningPreview) -> "LiveShare | None":
    """Draw which share of the kept weights can matter. Nothing for a dense or a huge network."""
    if recipe.prune is None or preview.paths is None:
        return None
    with st.spinner("Following the kept weights ..."):
        prune = recipe.prune
        live = preview.paths.at(prune.density, prune.layerwise, prune.pattern)
    draw_metric(
        "Can still matter",
        part(live.share),
        "of the kept weights",
        "The kept weights that are on a path of kept weights from the image to an output. The"
        " others can be trained, but the outputs do not depend on them.",
    )
    return live


def _warn_of_cut_paths(live: "LiveShare") -> None:
    text = f"Only {part(live.share)} of the kept weights are on a path from the image to an output."
    if live.cut_layers:
        text += f" Nothing passes {_listed(live.cut_layers)}."
    st.warning(
        f"{text} A higher density, scoring in evaluation mode or SynFlow keeps more of them alive.",
        icon=":material/call_split:",
        title="Some kept weights cannot matter",
    )


def _listed(names: Sequence[str]) -> str:
    listed = ", ".join(f"`{name}`" for name in names[:_MOST_DEAD_LAYERS])
    if len(names) > _MOST_DEAD_LAYERS:
        listed += f" and {len(names) - _MOST_DEAD_LAYERS} more"
    return listed


def _draw_training_time(recipe: TrainRecipe, pace: Pace) -> None:
    draw_metric(
        "Training, about",
        duration(pace.epoch_seconds * recipe.epochs),
        f"{pace.images_per_second:,.0f} images/s",
        f"From a few training steps that were timed on this machine: about"
        f" {duration(pace.epoch_seconds)} for an epoch with its test, {recipe.epochs} epochs. Other"
        " work on the machine changes it.",
    )


def _warn_of_dead_layers(names: list[str]) -> None:
    st.warning(
        f"{_listed(names)} would keep no weight, so that only the bias passes. A higher density,"
        " the layerwise choice or SynFlow avoids that.",
        icon=":material/block:",
        title=f"{len(names)} dead layer{'s' if len(names) > 1 else ''}",
    )


def _draw_density_chart(layers: "dict[Pruning, list[PrunedLayer]]") -> None:
    from core.charts import density  # imports altair, which the form does not need

    st.altair_chart(
        density.density_forecast_chart(layers),
        key="layers",
        alt=density.density_forecast_alt_text(layers),
    )
