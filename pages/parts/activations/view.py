"""The activations of networks for a picture: predictions, and every ReLU in one of three views."""

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from PIL import Image

from core.data.picture import to_square
from core.inspect.activations.tables import network_letters
from pages.parts.activations.all_layers import draw_all_layers
from pages.parts.activations.cached import compare_activations
from pages.parts.activations.legend import choose_channel_order
from pages.parts.activations.one_layer import draw_one_layer
from pages.parts.activations.sources.network import InspectedNetwork
from pages.parts.activations.table import draw_layer_table
from pages.parts.shared.picture import Picture, thumbnail
from pages.parts.shared.words import plain

if TYPE_CHECKING:
    import numpy as np

    from core.inspect.activations.comparison import ActivationComparison

_VIEWS = ["All layers", "One layer", "Table"]


def draw_activations(networks: list[InspectedNetwork], picture: Picture, root: Path) -> None:
    """Draw the picture, the networks' predictions, and their activations in the chosen view."""
    comparison = compare_activations(networks, picture)
    left, right = st.columns([2, 3], gap="large")
    with left:
        _draw_input(networks, picture)
    with right:
        _draw_predictions(networks, comparison, picture)
    if not comparison.same_layers:
        st.info(
            "These networks do not have the same ReLUs. They are side by side in the order of their"
            " calls, each on its own scale, and without a difference.",
            icon=":material/compare:",
        )
    _draw_view(networks, comparison, picture, root)


def _draw_view(
    networks: list[InspectedNetwork],
    comparison: "ActivationComparison",
    picture: Picture,
    root: Path,
) -> None:
    with st.container(horizontal=True, key="shown"):
        view = st.segmented_control(
            "Show",
            _VIEWS,
            default=_VIEWS[0],
            key="view",
            required=True,
            bind="query-params",
            help="All ReLUs as pictures, one of them in full, or a table of all statistics.",
        )
        order = "channel" if view == "Table" else choose_channel_order(comparison)
    if view == "All layers":
        draw_all_layers(networks, picture, comparison, order)
    elif view == "One layer":
        draw_one_layer(networks, comparison, order, root)
    else:
        draw_layer_table(networks, comparison, root)


# -- the picture --


def _draw_input(networks: list[InspectedNetwork], picture: Picture) -> None:
    """Draw the picture, and what each network gets of it."""
    width, height = picture.image.size
    with st.container(horizontal=True, key="prepared"):
        st.image(
            thumbnail(picture.image),
            caption=f"{plain(picture.name)}, {_pixels(width, height)}",
            width=180,
            alt=f"The picture: {picture.name}",
        )
        for side in dict.fromkeys(network.card.side for network in networks):
            pixels = to_square(picture.image, side).transpose(1, 2, 0)
            st.image(
                thumbnail(Image.fromarray(pixels)),
                caption=f"What the network gets, {_pixels(side, side)}",
                width=180,
                alt=f"The middle square of the picture at {side} by {side} pixels",
            )
    _draw_normalisation(networks)


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
            f"{networks_in_words}ormalised as in training: red, green and blue in [0, 1], minus"
            f" {_listed(mean)}, divided by {_listed(std)}."
        )


def _listed(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


# -- the predictions --


def _draw_predictions(
    networks: list[InspectedNetwork], comparison: "ActivationComparison", picture: Picture
) -> None:
    """Draw the probabilities of the likeliest classes, in one chart for the same classes."""
    from core.charts import predictions  # imports altair

    for number, (classes, probabilities) in enumerate(
        _probabilities_by_classes(networks, comparison).items()
    ):
        st.markdown(plain(predictions.prediction_alt_text(classes, probabilities)))
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
