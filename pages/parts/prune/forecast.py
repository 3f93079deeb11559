"""Draws what a pruning would keep: the figures of the network, and the density of each layer."""

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from core.compress.pruning.methods import PRUNING_METHODS
from core.config import LayerDensities, PruneRecipe
from core.forecast.pruning import PrunedLayer, PrunedNetwork
from core.runs.run import Run
from pages.parts.prune.fine_tuning import fine_tuning_seconds
from pages.parts.prune.preview import score_key
from pages.parts.shared.metrics import draw_metric
from pages.parts.shared.tuning_cost import tuning_cost
from pages.parts.shared.words import duration, part, plain, short, size

if TYPE_CHECKING:
    from core.compress.channels.dead import ChannelReport  # imports torch
    from core.forecast.trained_pruning import ScoredParent

_MOST_NAMES = 6  # of layers in a sentence


def draw_pruning_figures(run: Run, recipe: PruneRecipe, parent: "ScoredParent", root: Path) -> None:
    """Draw the figures of the pruned network as metrics. Raises UserError as the run would.

    root: the folder of the data sets.
    """
    network = parent.at(recipe)
    with st.container(horizontal=True, key="prune_figures"):
        draw_metric(
            "Weights kept",
            f"{network.kept:,}",
            f"{part(network.kept / network.weights)} of {short(network.weights)}",
            f"Of {network.weights:,} prunable weights, which are those of the convolutions and"
            " linear layers.",
        )
        draw_metric(
            "Multiply-adds, zeros skipped",
            short(network.macs_left),
            f"now: {short(parent.macs)}",
            "For one image, on a machine that skips every zero. Ordinary hardware does not.",
        )
        if _cuts_channels(recipe):
            _draw_really_left(run, recipe, parent, root)
        _draw_file_size(run, network)
        if recipe.epochs:
            draw_metric("Fine-tuning, about", *_fine_tuning_time(run, recipe, root))
    if network.dead:
        _warn_of_dead_layers(network.dead)


def draw_layer_densities(recipe: PruneRecipe, parent: "ScoredParent") -> None:
    """Draw the density of each layer as bars, and another division of the weights as ticks."""
    from core.charts import density as charts  # imports altair

    chosen = recipe.layer_densities
    layers: dict[LayerDensities, list[PrunedLayer]] = {chosen: parent.at(recipe).layers}
    if not _cuts_channels(recipe):
        other: LayerDensities = "layerwise" if chosen == "global" else "global"
        divided = recipe.model_copy(update={"layer_densities": other})
        layers[other] = parent.at(divided).layers
    st.altair_chart(
        charts.density_forecast_chart(layers),
        key="prune_layers",
        alt=charts.density_forecast_alt_text(layers),
    )


def _cuts_channels(recipe: PruneRecipe) -> bool:
    return recipe.method != "compensated" and PRUNING_METHODS[recipe.method].channels


def _draw_really_left(run: Run, recipe: PruneRecipe, parent: "ScoredParent", root: Path) -> None:
    spared = (recipe.spare_first, recipe.spare_last)
    choice = f"{recipe.density} {recipe.layer_densities} {spared}"
    with st.spinner("Taking out the channels ..."):
        report = _without_channels(score_key(run, recipe, root), choice, parent, recipe)
    draw_metric(
        "Multiply-adds, really left",
        short(report.after.macs),
        f"{part(report.macs_left)} of {short(report.before.macs)}",
        "For one image, in a file for other programs: Export takes the dead channels out, and what"
        f" is left is dense. {report.after.weights:,} weights stay in it.",
    )


@st.cache_data(show_spinner=False, max_entries=64)
def _without_channels(
    scores: str, choice: str, _parent: "ScoredParent", _recipe: PruneRecipe
) -> "ChannelReport":
    """Return what is left without the channels. scores, choice: all that it depends on."""
    return _parent.without_channels(_recipe)


def _draw_file_size(run: Run, network: PrunedNetwork) -> None:
    now = f"in float: {size(network.size.dense)}"
    if run.packed_file.exists():
        now = f"now: {size(run.packed_file.stat().st_size)}"
    draw_metric(
        "File, estimated",
        size(network.size.packed),
        now,
        "The packed file: the kept weights in float32 without losses, and masks that say where they"
        " are. Quantizing makes it much smaller.",
    )


def _fine_tuning_time(run: Run, recipe: PruneRecipe, root: Path) -> tuple[str, str]:
    """Return the time of the fine-tuning in words, and what the estimate is based on."""
    cost = tuning_cost(run, root)
    if cost is None:
        return "—", f"{plain(run.dataset)} is gone"
    source = "from its training's speed" if cost.is_measured else "a rule of thumb for CPUs"
    seconds = fine_tuning_seconds(cost, recipe.epochs, recipe.train_images, recipe.teacher)
    return duration(seconds), source


def _warn_of_dead_layers(names: list[str]) -> None:
    listed = ", ".join(f"`{name}`" for name in names[:_MOST_NAMES])
    if len(names) > _MOST_NAMES:
        listed += f" and {len(names) - _MOST_NAMES} more"
    st.warning(
        f"{listed} would keep no weight, so that only the bias passes. A higher density or other"
        " layer densities avoid that.",
        icon=":material/block:",
        title=f"{len(names)} dead layer{'s' if len(names) > 1 else ''}",
    )
