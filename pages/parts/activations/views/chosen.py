"""The choice of a view of the activations: one layer, the tables, Grad-CAM, or the parting."""

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from pages.parts.activations.gradcam.view import draw_gradcam
from pages.parts.activations.one_layer import draw_layer_heading, draw_one_layer
from pages.parts.activations.sources.network import InspectedNetwork
from pages.parts.activations.table import draw_tables
from pages.parts.activations.views.parting import draw_parting
from pages.parts.shared.address import keep_choice_in_address
from pages.parts.shared.picture import Picture

if TYPE_CHECKING:
    from core.inspect.activations.comparison import ActivationComparison

_LAYER_VIEW = "One layer"
_TABLE_VIEW = "Table"
_GRADCAM_VIEW = "Grad-CAM"
_PARTING_VIEW = "Where they part"


def draw_view(
    networks: list[InspectedNetwork],
    comparison: "ActivationComparison",
    picture: Picture,
    number: int,
    root: Path,
) -> None:
    """Draw the choice of a view, and the chosen one. The others do not run.

    number: the index in `comparison.rows` of the chosen layer.
    """
    with st.container(horizontal=True, vertical_alignment="center", key="heading"):
        view = _choose_view(len(networks))
        if view in (_LAYER_VIEW, _TABLE_VIEW):
            draw_layer_heading(comparison, number)
    if view == _GRADCAM_VIEW:
        draw_gradcam(networks, comparison, picture)
    elif view == _PARTING_VIEW:
        draw_parting(networks, comparison, picture, _LAYER_VIEW)
    else:
        _draw_different_layers(comparison)
        if view == _TABLE_VIEW:
            draw_tables(networks, comparison, number, root)
        else:
            draw_one_layer(networks, comparison, number, root)


def _choose_view(networks: int) -> str:
    views = [_LAYER_VIEW, _TABLE_VIEW, _GRADCAM_VIEW]
    if networks > 1:
        views.append(_PARTING_VIEW)
    keep_choice_in_address("view", views, _LAYER_VIEW, what="view of these networks")
    return st.segmented_control(
        "Show",
        views,
        default=_LAYER_VIEW,
        key="view",
        required=True,
        persist_state="session",
        label_visibility="collapsed",
        width="content",
    )


def _draw_different_layers(comparison: "ActivationComparison") -> None:
    """Say that the networks do not have the same layers, if that is so."""
    if not comparison.same_layers:
        st.info(
            "These networks do not have the same layers. They are side by side in the order of"
            " their calls, each on its own scale, and without a difference.",
            icon=":material/compare:",
        )
