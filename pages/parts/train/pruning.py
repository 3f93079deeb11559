"""The settings of the pruning, in the form of a training: method, density, layerwise."""

import streamlit as st

from core.compress.pruning.methods import PRUNING_METHODS
from core.config import Prune
from pages.parts.shared.address import (
    address_selectbox,
    keep_in_address,
    number_parser,
    parse_flag,
)
from pages.parts.shared.fields import help_text, number_field
from pages.parts.shared.words import part
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

# fmt: off
_DENSITIES = [
    0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15,
    0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0,
]
# fmt: on
_LOWEST_DENSITY = 1e-6
_LEAST_PERCENT = 2
_START_DENSITY = Prune().density


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
    _draw_density(is_dense)
    keep_in_address("layerwise", False, parse_flag)
    is_fixed = not is_dense and PRUNING_METHODS[method].sets_layer_densities
    if is_fixed:
        st.session_state["layerwise"] = False
    st.toggle(
        "Layerwise: the same density in every layer",
        key="layerwise",
        persist_state="session",
        disabled=is_dense or is_fixed,
        help=help_text(Prune, "layerwise"),
    )


def is_iterative(prune: Prune | None) -> bool:
    """Whether the scores of the pruning hold for its density only."""
    return prune is not None and PRUNING_METHODS[prune.method].iterative


def _draw_density(is_dense: bool) -> None:
    """Draw a slider with a few densities, and a number input with the exact one."""
    state = st.session_state
    keep_in_address("density", _START_DENSITY, number_parser(float, _LOWEST_DENSITY, 1))
    state["step_of_density"] = min(_DENSITIES, key=lambda step: abs(step - state["density"]))
    slider, exact = st.columns([3, 1], vertical_alignment="bottom")
    slider.select_slider(
        "Density: the fraction of weights that is kept",
        _DENSITIES,
        disabled=is_dense,
        format_func=part,
        key="step_of_density",
        on_change=_take_density_of_slider,
        help=help_text(Prune, "density"),
    )
    number_field(
        exact,
        Prune,
        "density",
        0.01,
        label="Exactly",
        min_value=_LOWEST_DENSITY,
        max_value=100.0,
        disabled=is_dense,
        on_change=_understand_percent,
        help=f"{help_text(Prune, 'density')} A number from 2 to 100 is taken as percent.",
    )


def _understand_percent() -> None:
    """Make 0.5 of 50. A number just above 1, as a step from 1 gives it, becomes 1."""
    density = st.session_state["density"]
    if density >= _LEAST_PERCENT:
        density /= 100
    st.session_state["density"] = min(1.0, density)


def _take_density_of_slider() -> None:
    st.session_state["density"] = st.session_state["step_of_density"]
