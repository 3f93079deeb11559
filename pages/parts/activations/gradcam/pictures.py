"""The pictures of the Grad-CAM view, in one row if there is room, and what their colours mean."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from core.inspect.colour_scale import ColourScale
from pages.parts.activations.gradcam.cached import overlay
from pages.parts.activations.image_row import caption
from pages.parts.activations.legend import colour_ramp
from pages.parts.shared.picture import Picture
from pages.parts.shared.steady_image import draw_steady_image
from pages.parts.shared.theme import is_dark
from pages.parts.shared.words import span

if TYPE_CHECKING:
    import numpy as np

_COLUMNS = 3


@dataclass(frozen=True, eq=False)
class MapPicture:
    """A map over the picture, or the reason why there is none.

    title: the letter of the network, or "B − A". text: what the map shows, or the reason. values:
    (side, side), None if there is no map. key: names the values in a cache.
    """

    title: str
    text: str
    values: "np.ndarray | None" = None
    key: str = ""


def draw_map_pictures(
    maps: list[MapPicture], differences: list[MapPicture], picture: Picture
) -> None:
    """Draw the maps on one scale, the differences on another, and the two scales."""
    scale = scale_of_all(maps, ColourScale.sequential)
    difference_scale = scale_of_all(differences, ColourScale.diverging)
    drawn = [(one, scale) for one in maps] + [(one, difference_scale) for one in differences]
    if len(maps) == _COLUMNS:
        # The differences are below their networks.
        maps_row, differences_row = st.columns(_COLUMNS), st.columns(_COLUMNS)
        columns = [*maps_row, *differences_row[_COLUMNS - len(differences) :]]
    else:
        columns = st.columns(max(2, len(drawn)))
    for column, (one, own_scale) in zip(columns, drawn, strict=False):
        with column:
            _draw_one(one, own_scale, picture)
    _draw_legend(scale, difference_scale)


def scale_of_all(maps: list[MapPicture], make: Callable[..., ColourScale]) -> ColourScale | None:
    """Return the scale of all the maps together, None if there is no map."""
    arrays = [one.values for one in maps if one.values is not None]
    return make(*arrays) if arrays else None


def _draw_one(one: MapPicture, scale: ColourScale | None, picture: Picture) -> None:
    if one.values is not None and scale is not None:
        draw_steady_image(
            overlay(one.key, picture, one.values, scale, is_dark()),
            alt=f"Grad-CAM over the picture {one.title}".strip(),
            key=f"gradcam {one.title}",
        )
    st.caption(caption(one.title, one.text))


def _draw_legend(scale: ColourScale | None, difference_scale: ColourScale | None) -> None:
    """Draw the colours of the two scales with their ends, in the unit of the logits."""
    with st.container(horizontal=True, key="gradcam_legend"):
        if scale is not None:
            text = f"{span(scale.low, scale.high)}, in the unit of the logits"
            _draw_ramp(colour_ramp("viridis"), "A scale from violet to yellow", text)
        if difference_scale is not None:
            text = (
                f"{span(difference_scale.low, difference_scale.high)}: less than A, the same, more"
            )
            ramp = colour_ramp("RdBu_r", is_dark())
            _draw_ramp(ramp, "A scale from blue over the background's colour to red", text)


def _draw_ramp(ramp: bytes, alt: str, text: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", width="content"):
        st.image(ramp, width=90, alt=alt)
        st.caption(text, width="content")
