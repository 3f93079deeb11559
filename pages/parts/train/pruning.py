"""The settings of the pruning, in the form of a training: method, density, layerwise."""

import streamlit as st

from core.compress.pruning.methods import PRUNING_METHODS
from core.config import PATTERN_DENSITIES, Prune
from pages.parts.shared.address import (
    address_selectbox,
    keep_choice_in_address,
    keep_in_address,
    parse_flag,
)
from pages.parts.shared.density import draw_density
from pages.parts.shared.fields import help_text
from pages.parts.train.form import DENSE

METHOD_NAMES = {
    "snip": "SNIP",
    "iterative-snip": "Iterative SNIP",
    "force": "FORCE",
    "grasp": "GraSP",
    "synflow": "SynFlow",
    "magnitude": "Magnitude",
    "erk": "Random, Erdos-Renyi-Kernel",
    "uniform+": "Random, uniform+",
    "random": "Random",
    "snip-shuffled": "SNIP, shuffled in each layer",
    "snip-reinitialized": "SNIP, reinitialized",
    "channel-snip": "SNIP of whole channels",
    "channel-magnitude": "Magnitude of whole channels",
    DENSE: "None: a dense network",
}

PATTERN_NAMES = {"free": "Any weights", "2:4": "2 of 4", "1:4": "1 of 4"}


def draw_pruning_settings() -> None:
    """Draw the choice of the method, of the density, and of how the layers share it."""
    method = address_selectbox(
        "Pruning",
        "method",
        list(METHOD_NAMES),
        Prune().method,
        what="method",
        format_func=METHOD_NAMES.get,
        help=help_text(Prune, "method"),
    )
    is_dense = method == DENSE
    has_pattern = _draw_pattern(method)
    draw_density(Prune, "density", Prune().density, disabled=is_dense or has_pattern)
    keep_in_address("layerwise", False, parse_flag)
    is_fixed = has_pattern or (not is_dense and PRUNING_METHODS[method].sets_layer_densities)
    if is_fixed:
        st.session_state["layerwise"] = False
    st.toggle(
        "Layerwise: the same density in every layer",
        key="layerwise",
        persist_state="session",
        disabled=is_dense or is_fixed,
        help=help_text(Prune, "layerwise"),
    )


def _draw_pattern(method: str) -> bool:
    """Draw the choice of a pattern, which sets the density. Return whether there is one."""
    facts = PRUNING_METHODS.get(method)  # none for a dense network
    is_possible = facts is not None and not facts.sets_layer_densities and not facts.iterative
    state = st.session_state
    keep_choice_in_address("pattern", list(PATTERN_NAMES), "free", what="pattern")
    if not is_possible:
        state["pattern"] = "free"
    pattern = st.segmented_control(
        "Pattern",
        list(PATTERN_NAMES),
        key="pattern",
        required=True,
        persist_state="session",
        disabled=not is_possible,
        format_func=PATTERN_NAMES.__getitem__,
        help=help_text(Prune, "pattern"),
    )
    if pattern not in PATTERN_DENSITIES:
        return False
    state["density"] = PATTERN_DENSITIES[pattern]
    return True


def is_iterative(prune: Prune | None) -> bool:
    """Whether the scores of the pruning hold for its density only."""
    return prune is not None and PRUNING_METHODS[prune.method].iterative
