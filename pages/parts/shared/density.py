"""The choice of a density: a slider with a few of them, and a number input with the exact one."""

import streamlit as st
from pydantic import BaseModel

from pages.parts.shared.address import keep_in_address, number_parser
from pages.parts.shared.fields import help_text, number_field
from pages.parts.shared.words import part

# fmt: off
_DENSITIES = [
    0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15,
    0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0,
]
# fmt: on
_LOWEST_DENSITY = 1e-6
_LEAST_PERCENT = 2


def draw_density(
    recipe_type: type[BaseModel], key: str, default: float, *, disabled: bool = False
) -> None:
    """Draw both widgets for the field `density` of a recipe. The address carries it as ?key=.

    key: of the number input. That of the slider begins with "step_of_".
    """
    state = st.session_state
    slider_key = f"step_of_{key}"
    keep_in_address(key, default, number_parser(float, _LOWEST_DENSITY, 1))
    state[slider_key] = min(_DENSITIES, key=lambda step: abs(step - state[key]))
    slider, exact = st.columns([3, 1], vertical_alignment="bottom")
    slider.select_slider(
        "Density: the fraction of weights that is kept",
        _DENSITIES,
        disabled=disabled,
        format_func=part,
        key=slider_key,
        on_change=_take_density_of_slider,
        args=(key, slider_key),
        help=help_text(recipe_type, "density"),
    )
    number_field(
        exact,
        recipe_type,
        "density",
        0.01,
        key=key,
        label="Exactly",
        value=default,
        min_value=_LOWEST_DENSITY,
        max_value=100.0,
        disabled=disabled,
        on_change=_understand_percent,
        args=(key,),
        help=f"{help_text(recipe_type, 'density')} A number from 2 to 100 is taken as percent.",
    )


def _understand_percent(key: str) -> None:
    """Make 0.5 of 50. A number just above 1, as a step from 1 gives it, becomes 1."""
    density = st.session_state[key]
    if density >= _LEAST_PERCENT:
        density /= 100
    st.session_state[key] = min(1.0, density)


def _take_density_of_slider(key: str, slider_key: str) -> None:
    st.session_state[key] = st.session_state[slider_key]
