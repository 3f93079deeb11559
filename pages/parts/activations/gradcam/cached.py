"""Caches of the Grad-CAM view: the convolutions of a network, its maps, and their pictures."""

from typing import TYPE_CHECKING

import streamlit as st

from core.data.picture import to_square
from core.inspect.colour_scale import ColourScale
from core.inspect.overlay import enlarged_png, overlay_map
from pages.parts.activations.sources.network import InspectedNetwork
from pages.parts.shared.picture import Picture

if TYPE_CHECKING:
    import numpy as np

    from core.inspect.behaviour.class_maps import MapSize

_SIDE = 400  # pixels that a picture has at least


def cached_mappable_layers(network: InspectedNetwork) -> "dict[str, MapSize]":
    """Return the convolutions that Grad-CAM can draw, with the size of their output."""
    return _mappable_layers(network.key, network)


def cached_class_map(
    network: InspectedNetwork, picture: Picture, layer: str, class_index: int
) -> "np.ndarray":
    """Return the Grad-CAM map of a class, as large as what the network gets of the picture."""
    return _class_map(network.key, picture.key, layer, class_index, network, picture)


def overlay(
    key: str, picture: Picture, values: "np.ndarray", scale: ColourScale, dark: bool
) -> bytes:
    """Return a PNG of the values over the middle square of the picture. `key` names the values."""
    return _overlay(key, picture.key, scale.in_theme(dark), picture, values)


@st.cache_resource(max_entries=6, show_spinner=False)
def _mappable_layers(key: str, _network: InspectedNetwork) -> "dict[str, MapSize]":
    from core.inspect.behaviour import class_maps  # imports torch

    return class_maps.mappable_layers(_network.network(), _network.card.side)


@st.cache_resource(max_entries=24, show_spinner="Computing Grad-CAM …")
def _class_map(
    network_key: str,
    picture_key: str,
    layer: str,
    class_index: int,
    _network: InspectedNetwork,
    _picture: Picture,
) -> "np.ndarray":
    from core.inspect.behaviour import class_maps  # imports torch

    card = _network.card
    square = to_square(_picture.image, card.side)
    return class_maps.class_map(_network.network(), square, card, layer, class_index)


@st.cache_data(max_entries=24, show_spinner=False)
def _overlay(
    key: str, picture_key: str, scale: ColourScale, _picture: Picture, _values: "np.ndarray"
) -> bytes:
    square = to_square(_picture.image, len(_values))
    return enlarged_png(overlay_map(square, _values, scale), _SIDE)
