"""A network before training, scored once by SNIP and pruned to any density."""

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from core import data
from core.config import Prune, TrainRecipe
from core.models import MODELS, model_info
from pages.parts.activations.sources.network import InspectedNetwork, NetworkSource
from pages.parts.shared.address import address_selectbox
from pages.parts.shared.progress import drain
from pages.parts.shared.words import kept, part

if TYPE_CHECKING:
    from core.forecast.any_density import ScoredNetwork

_DENSITIES = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7,
    0.8, 0.9, 1.0,
]  # fmt: skip
_MAX_UNASKED_MACS = 10e9  # a batch with more multiply-adds is scored only after a click


def choose_untrained_network(root: Path) -> NetworkSource | None:
    """Draw the choice of a network and a data set. Returns None until the network is scored."""
    left, right = st.columns(2)
    with left:
        network = address_selectbox(
            "Network",
            "fresh",
            list(MODELS),
            "LeNet5",
            what="network",
            help="The network has its initial weights, made with seed 0.",
        )
    with right:
        dataset = address_selectbox(
            "Data set",
            "fresh_data",
            _datasets_here(root),
            what="data set",
            help="SNIP scores the weights on the first training batch of this data set.",
        )
    recipe = TrainRecipe(model=network, dataset=dataset, prune=Prune(), device="cpu")
    key = f"{network} {dataset} {root}"
    scored = _scored_network(recipe, root, key)
    if scored is None:
        return None
    return NetworkSource(dataset, lambda: _choose_density(key, scored))


def _datasets_here(root: Path) -> list[str]:
    return [choice.name for choice in data.available(root) if choice.state in ("ready", "bundled")]


def _scored_network(recipe: TrainRecipe, root: Path, key: str) -> "ScoredNetwork | None":
    """Return the scored network. A large one is scored after a click: None until then."""
    memory = _scored_networks()
    if key in memory:
        return memory[key]
    is_quick = model_info(recipe.model).macs * recipe.batch_size < _MAX_UNASKED_MACS
    if not is_quick and not st.button(
        "Score its weights", icon=":material/content_cut:", type="primary", key="score"
    ):
        return None
    scored = _score(recipe, root)
    memory.clear()
    memory[key] = scored
    return scored


def _score(recipe: TrainRecipe, root: Path) -> "ScoredNetwork":
    from core.forecast.any_density import score_network  # imports torch

    dataset = data.load(recipe.dataset, root)
    return drain(score_network(recipe, dataset), st.empty())


@st.cache_resource(show_spinner=False)
def _scored_networks() -> "dict[str, ScoredNetwork]":
    """The network that was scored last, for all sessions.

    It is a dict in a cache, because a cached function cannot show its progress.
    """
    return {}


def _choose_density(key: str, scored: "ScoredNetwork") -> list[InspectedNetwork]:
    """Draw the choice of a density, and return the dense network and the pruned one."""
    chosen = st.select_slider(
        "Density: the share of weights that is kept",
        _DENSITIES,
        0.1,
        key="at",
        format_func=part,
        help=(
            "SNIP chooses the weights, and all layers compete. BatchNorm has its initial"
            " parameters, with which it changes nothing."
        ),
    )
    densities = [1.0] if chosen == 1.0 else [1.0, chosen]
    return [_pruned_network(key, scored, density) for density in densities]


def _pruned_network(key: str, scored: "ScoredNetwork", density: float) -> InspectedNetwork:
    card = scored.saved.card
    return InspectedNetwork(
        name=f"{card.model}, {kept(density)}",
        key=f"{key} {density}",
        card=card,
        network=lambda: scored.network(density),
        is_trained=False,
    )
