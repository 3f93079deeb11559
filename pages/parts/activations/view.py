"""The activations of networks for a picture: predictions, the list of layers, and one of them."""

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from PIL import Image

from core.data.picture import to_square
from core.inspect.activations.tables import network_letters
from pages.parts.activations.cached import compare_activations
from pages.parts.activations.doubts import draw_doubts
from pages.parts.activations.navigator import choose_layer
from pages.parts.activations.sources.network import InspectedNetwork
from pages.parts.activations.views.chosen import draw_view
from pages.parts.shared.picture import Picture, thumbnail
from pages.parts.shared.words import plain

if TYPE_CHECKING:
    import numpy as np

    from core.inspect.activations.comparison import ActivationComparison

_INPUT_WIDTH = 110  # pixels of the picture

# The picture, the answers and the list of layers stay in sight while the layer itself is scrolled.
_STAY_IN_SIGHT = """
<style>
@media (min-width: 640px) {
  .stColumn:has(> * > * > .st-key-insight) { align-self: flex-start; position: sticky; top: 4rem;
    max-height: calc(100vh - 4.5rem); overflow-y: auto; }
}
</style>
"""


def draw_activations(networks: list[InspectedNetwork], picture: Picture, root: Path) -> None:
    """Draw the picture, the networks' predictions, the list of layers, and the chosen layer."""
    comparison = compare_activations(networks, picture)
    st.html(_STAY_IN_SIGHT)
    left, right = st.columns([2, 5], gap="large")
    with left, st.container(key="insight"):
        _draw_input(networks, picture)
        draw_doubts(networks, picture)
        draw_predictions(networks, comparison, picture)
        number = choose_layer(comparison) if comparison.rows else None
        _draw_left_out(comparison)
    with right:
        if number is None:
            st.info("This network calls no activation function.", icon=":material/blur_off:")
            return
        draw_view(networks, comparison, picture, number, root)


def _draw_left_out(comparison: "ActivationComparison") -> None:
    """Name what could not be observed in each network, and the gates that are no activations."""
    from core.inspect.activations.captured import describe_left_out  # imports torch

    sentences = [describe_left_out(one.captured.left_out) for one in comparison.passes]
    for sentence in dict.fromkeys(filter(None, sentences)):
        st.caption(plain(sentence))


# -- the picture --


def _draw_input(networks: list[InspectedNetwork], picture: Picture) -> None:
    """Draw the picture, and what each network gets of it."""
    width, height = picture.image.size
    with st.container(horizontal=True, key="prepared"):
        _draw_small(
            picture.image,
            f"The picture: {picture.name}",
            f"{plain(picture.name)}, {_pixels(width, height)}",
        )
        for side in dict.fromkeys(network.card.side for network in networks):
            if picture.image.size == (side, side):
                continue  # The network gets this very picture.
            pixels = to_square(picture.image, side).transpose(1, 2, 0)
            _draw_small(
                Image.fromarray(pixels),
                f"The middle square of the picture at {side} by {side} pixels",
                f"What the network gets, {_pixels(side, side)}",
            )
        with st.container(width=140):
            _draw_normalisation(networks)


def _draw_small(image: Image.Image, alt: str, caption: str) -> None:
    st.image(thumbnail(image), caption=caption, width=_INPUT_WIDTH, alt=alt)


def _pixels(width: int, height: int) -> str:
    return f"{width}\u00a0×\u00a0{height}"  # no-break spaces


def _draw_normalisation(networks: list[InspectedNetwork]) -> None:
    """Say how the pixels are normalised, once for the networks that do it in the same way."""
    letters_by_values: dict[tuple, list[str]] = {}
    for letter, network in zip(network_letters(len(networks)), networks, strict=True):
        values = (network.card.mean, network.card.std)
        letters_by_values.setdefault(values, []).append(letter)
    for (mean, std), letters in letters_by_values.items():
        networks_in_words = f"{', '.join(letters)}: n" if len(letters_by_values) > 1 else "N"
        st.caption(
            f"{networks_in_words}ormalised as in training",
            help=(
                f"Red, green and blue in [0, 1], minus {_listed(mean)}, divided by {_listed(std)}."
            ),
        )


def _listed(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


# -- the predictions --


def draw_predictions(
    networks: list[InspectedNetwork], comparison: "ActivationComparison", picture: Picture
) -> None:
    """Draw the probabilities of the likeliest classes, in one chart for the same classes."""
    from core.charts import predictions  # imports altair

    for number, (classes, probabilities) in enumerate(
        _probabilities_by_classes(networks, comparison).items()
    ):
        st.caption(plain(predictions.prediction_alt_text(classes, probabilities)))
        st.altair_chart(
            predictions.prediction_chart(classes, probabilities, picture.label),
            key=f"answers{number}",
            # A text that changes would make the browser draw a live chart anew.
            alt="Probabilities of the likeliest classes",
        )


def _probabilities_by_classes(
    networks: list[InspectedNetwork], comparison: "ActivationComparison"
) -> "dict[tuple[str, ...], dict[str, np.ndarray]]":
    """Return the probabilities by the network's name, grouped by the networks' classes."""
    groups: dict[tuple[str, ...], dict[str, np.ndarray]] = {}
    letters = network_letters(len(networks))
    for letter, network, forward_pass in zip(letters, networks, comparison.passes, strict=True):
        name = f"{letter} {network.name}".strip()
        group = groups.setdefault(network.card.classes, {})
        group[name] = forward_pass.probabilities
    return groups
