"""Grad-CAM of a class in every network: where its evidence is in the picture, and the differences.

Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization (arXiv:1610.02391).
"""

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.inspect.activations.tables import network_letters
from pages.parts.activations.gradcam.cached import cached_class_map, cached_mappable_layers
from pages.parts.activations.gradcam.choices import choose_class, choose_layers, class_indices
from pages.parts.activations.gradcam.pictures import MapPicture, draw_map_pictures
from pages.parts.activations.sources.network import InspectedNetwork
from pages.parts.shared.picture import Picture
from pages.parts.shared.words import part, plain, span

if TYPE_CHECKING:
    from core.inspect.activations.comparison import ActivationComparison

_HELP = (
    "Grad-CAM (arXiv:1610.02391): the channels of the convolution are added up, each weighted with"
    " the mean gradient of the class's logit. Where the sum is positive, the place speaks for the"
    " class. The map is enlarged to the size of the picture."
)


def draw_gradcam(
    networks: list[InspectedNetwork], comparison: "ActivationComparison", picture: Picture
) -> None:
    """Draw the choices, the map of every network, and the differences from the first."""
    from core.inspect.behaviour.gradcam import MISSING_CAPTUM, has_captum  # imports torch

    if not has_captum():
        st.info(MISSING_CAPTUM, icon=":material/extension_off:")
        return
    layers = [cached_mappable_layers(network) for network in networks]
    if not any(layers):
        st.info(_no_convolution(len(networks)), icon=":material/blur_off:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", key="gradcam_choices"):
        class_name = choose_class(networks, comparison)
        chosen = choose_layers(layers)
    st.caption(f"Where each network sees **{plain(class_name)}** in the picture.", help=_HELP)
    pictures = [
        _network_picture(number, networks, comparison, picture, class_name, layer)
        for number, layer in enumerate(chosen)
    ]
    differences = _difference_pictures(pictures)
    draw_map_pictures(pictures, differences, picture)


def _no_convolution(networks: int) -> str:
    subject = "these networks have" if networks > 1 else "this network has"
    return (
        f"Grad-CAM needs a convolution whose output has a height and a width, and {subject} none."
    )


def _network_picture(
    number: int,
    networks: list[InspectedNetwork],
    comparison: "ActivationComparison",
    picture: Picture,
    class_name: str,
    layer: str | None,
) -> MapPicture:
    """Return the map of the network with this index, or the reason why it has none."""
    letter = network_letters(len(networks))[number]
    network = networks[number]
    class_index = class_indices(network.card.classes).get(class_name)
    if class_index is None:
        return MapPicture(letter, f"It has no class {plain(repr(class_name))}.")
    if layer is None:
        return MapPicture(letter, "It has no such convolution.")
    values = cached_class_map(network, picture, layer, class_index)
    height, width = cached_mappable_layers(network)[layer]
    probability = comparison.passes[number].probabilities[class_index]
    text = (
        f"`{layer}`, {height}\u00a0×\u00a0{width} places · probability {part(probability)}"
        f" · {_highest_in_words(values)}"
    )
    return MapPicture(letter, text, values, f"{network.key} {layer} {class_index}")


def _highest_in_words(values: np.ndarray) -> str:
    if np.isnan(values).any():
        return "NaN, drawn in grey"
    if not values.any():
        return "0 everywhere: nothing here speaks for the class"
    return f"up to {values.max():.3g}"


def _difference_pictures(pictures: list[MapPicture]) -> list[MapPicture]:
    """Return the difference of each network from the first, where both have a map."""
    from core.inspect.behaviour.class_maps import map_differences  # imports torch

    first, *others = pictures
    differences = map_differences([one.values for one in pictures])
    return [
        MapPicture(
            f"{other.title} − A",
            span(values.min(), values.max()),
            values,
            f"{other.key} minus {first.key}",
        )
        for other, values in zip(others, differences, strict=True)
        if values is not None
    ]
