"""Draws what a pruning would keep: four figures and a chart of the layers' densities."""

import streamlit as st

from core.config import TrainRecipe
from core.forecast.pace import Pace
from core.forecast.pruning import PrunedLayer, PrunedNetwork, PruningPreview
from pages.parts.shared.metrics import draw_metric
from pages.parts.shared.words import duration, short, size
from pages.parts.train.pruning import is_iterative

_MOST_DEAD_LAYERS = 6  # that are listed by name


def draw_forecast(recipe: TrainRecipe, preview: PruningPreview, pace: Pace) -> None:
    """Draw the figures and the chart of the recipe's density."""
    is_layerwise = bool(recipe.prune and recipe.prune.layerwise)
    network = preview.at(recipe.density, is_layerwise)
    with st.container(horizontal=True, key="figures"):
        _draw_network_figures(network)
        _draw_training_time(recipe, pace)
    if network.dead:
        _warn_of_dead_layers(network.dead)
    if recipe.prune is None:
        st.caption("A dense network: every layer keeps all its weights.")
        return
    layers = {"layerwise" if is_layerwise else "global": network.layers}
    # An iterative method that is layerwise has other scores than a global one.
    if not (is_layerwise and is_iterative(recipe.prune)):
        other = preview.at(recipe.density, not is_layerwise)
        layers["global" if is_layerwise else "layerwise"] = other.layers
    _draw_density_chart(layers)


def _draw_network_figures(network: PrunedNetwork) -> None:
    draw_metric(
        "Weights kept",
        f"{network.kept:,}",
        f"{network.kept / network.weights:.2%} of {short(network.weights)}",
        f"Of {network.weights:,} prunable weights, which are those of the convolutions and linear"
        " layers.",
    )
    draw_metric(
        "Multiply-adds",
        short(network.macs_left),
        f"{network.macs_left / network.macs:.2%} of {short(network.macs)}",
        "For one image, on a machine that skips every zero. Ordinary hardware does not.",
    )
    dense_bytes = network.size.dense
    draw_metric(
        "File, estimated",
        size(min(network.size.sparse, dense_bytes)),
        f"dense: {size(dense_bytes)}",
        "An estimate: the kept weights in float32, and ideally coded masks.",
    )


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
    listed = ", ".join(f"`{name}`" for name in names[:_MOST_DEAD_LAYERS])
    if len(names) > _MOST_DEAD_LAYERS:
        listed += f" and {len(names) - _MOST_DEAD_LAYERS} more"
    st.warning(
        f"{listed} would keep no weight, so that only the bias passes. A higher density, the"
        " layerwise choice or SynFlow avoids that.",
        icon=":material/block:",
        title=f"{len(names)} dead layer{'s' if len(names) > 1 else ''}",
    )


def _draw_density_chart(layers: dict[str, list[PrunedLayer]]) -> None:
    from core.charts import density  # imports altair, which the form does not need

    st.altair_chart(
        density.density_forecast_chart(layers),
        key="layers",
        alt=density.density_forecast_alt_text(layers),
    )
