"""Settings of single layers: clusters or bits that differ from those of the form.

They belong to one method and one model. The address carries them as ?layers=NAME:NUMBER,...
"""

from typing import TYPE_CHECKING

import streamlit as st

from core.config import KMeansRecipe, QuantizeRecipe
from pages.parts.shared.address import keep_in_address

if TYPE_CHECKING:
    from core.forecast.quantization import QuantizationPlan

# The numbers that a layer can have, 0 for a layer that stays in float.
_POSSIBLE_NUMBERS = {"kmeans": {0, *range(2, 257)}, "affine": {0, *range(2, 9)}}


def layer_settings(parent: str, kind: str) -> dict[str, int]:
    """Return the clusters or bits of single layers, in a dict that can be changed.

    It is empty after a change of the model or of the method. The address carries it.
    """
    state = st.session_state

    def parse(text: str) -> dict[str, int]:
        state["layers_of"] = _owner(parent, kind)
        return _parse_layer_settings(text, kind)

    keep_in_address("own_layers", {}, parse, name="layers", to_text=_layers_text)
    if state.get("layers_of") != _owner(parent, kind):
        set_layer_settings(parent, kind, {})
    return state["own_layers"]


def set_layer_settings(parent: str, kind: str, settings: dict[str, int]) -> None:
    """Replace the settings of single layers by those of a model and a method."""
    st.session_state["own_layers"] = settings
    st.session_state["layers_of"] = _owner(parent, kind)


def unit_of(recipe: QuantizeRecipe) -> str:
    """Return what a recipe counts: "clusters" or "bits"."""
    return "clusters" if isinstance(recipe, KMeansRecipe) else "bits"


def _owner(parent: str, kind: str) -> str:
    return f"{parent} {kind}"


def _layers_text(settings: dict[str, int]) -> str:
    return ",".join(f"{name}:{number}" for name, number in settings.items())


def _parse_layer_settings(text: str, kind: str) -> dict[str, int]:
    """Return the settings in an address. Impossible ones are left out: no widget removes them."""
    settings = {}
    for item in text.split(","):
        name, _, number = item.rpartition(":")
        if number.isdecimal() and int(number) in _POSSIBLE_NUMBERS[kind]:
            settings[name] = int(number)
    return settings


# -- the widgets --


def draw_layer_settings(parent: str, recipe: QuantizeRecipe, plan: "QuantizationPlan") -> None:
    """Draw the choice of layers, and the buttons that change their settings."""
    names = [layer.name for layer in plan.layers]
    with st.container(horizontal=True, vertical_alignment="bottom", key="own_settings"):
        has_layers = bool(_choose_layers(names))
        number = _choose_number(unit_of(recipe), disabled=not has_layers)
        is_set = _draw_button(
            "Set",
            ":material/check:",
            "own_set",
            "Give the chosen layers this number.",
            disabled=not has_layers,
            change=(parent, number),
        )
        is_left_out = _draw_button(
            "Leave out",
            ":material/block:",
            "own_leave",
            "Keep the chosen layers in float.",
            disabled=not has_layers,
            change=(parent, 0),
        )
        is_reset = _draw_button(
            "As the others",
            ":material/undo:",
            "own_undo",
            "Quantize the chosen layers as the form says.",
            disabled=not has_layers or not recipe.layers,
            change=(parent, None),
        )
    if is_set or is_left_out or is_reset:
        st.rerun()  # of the whole page, because the totals above change, too


def _choose_layers(names: list[str]) -> list[str]:
    state = st.session_state
    state["picked_layers"] = [name for name in state.get("picked_layers", []) if name in names]
    return st.multiselect(
        "Layers to treat differently",
        names,
        key="picked_layers",
        placeholder="Choose layers",
        help=(
            "You can also click rows of the table, or bars of the chart. Hold Shift to click"
            " several bars."
        ),
    )


def _choose_number(unit: str, disabled: bool) -> int:
    low, high, default = (2, 256, 32) if unit == "clusters" else (2, 8, 8)
    return st.number_input(
        unit.capitalize(),
        low,
        high,
        default,
        key=f"own_{unit}",
        width=130,
        disabled=disabled,
        help=f"{unit.capitalize()} of the chosen layers.",
    )


def _draw_button(
    label: str,
    icon: str,
    key: str,
    help_text: str,
    *,
    disabled: bool,
    change: tuple[str, int | None],
) -> bool:
    return st.button(
        label,
        icon=icon,
        key=key,
        disabled=disabled,
        help=help_text,
        width="content",
        on_click=_change_chosen_layers,
        args=change,
    )


def _change_chosen_layers(parent: str, number: int | None) -> None:
    """Give the chosen layers a number of clusters or bits, or none of their own."""
    settings = layer_settings(parent, st.session_state["quantize_method"])
    for name in st.session_state["picked_layers"]:
        settings.pop(name, None)
        if number is not None:
            settings[name] = number
