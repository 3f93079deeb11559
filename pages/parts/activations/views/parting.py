"""Draws where networks part: the cosine of the activations of A and another one by layer."""

from typing import TYPE_CHECKING

import streamlit as st

from core.inspect.activations.tables import network_letters
from pages.parts.activations.cached import layer_cosines
from pages.parts.activations.navigator import choose_layer_of_a
from pages.parts.activations.sources.network import InspectedNetwork
from pages.parts.shared.address import choose, keep_in_address, number_parser
from pages.parts.shared.picture import Picture
from pages.parts.shared.words import plain

if TYPE_CHECKING:
    from core.inspect.activations.comparison import ActivationComparison
    from core.inspect.activations.forward import ForwardPass

_THRESHOLD = 0.9
_CHART = "parting"


def draw_parting(
    networks: list[InspectedNetwork],
    comparison: "ActivationComparison",
    picture: Picture,
    layer_view: str,
) -> None:
    """Draw the cosines of all layers, and name the first one below the threshold.

    layer_view: the view that a click on a layer opens.
    """
    similarities = _similarities(networks, picture)
    first, *others = comparison.passes
    for (letter, cosines), other in zip(similarities.items(), others, strict=True):
        _draw_different_layers(letter, cosines, first, other)
    comparable = {letter: cosines for letter, cosines in similarities.items() if cosines}
    if not comparable:
        return
    threshold = _choose_threshold()
    for letter, cosines in comparable.items():
        st.markdown(_first_parting(letter, cosines, threshold))
    _draw_chart(comparable, threshold, comparison, layer_view)


def _similarities(
    networks: list[InspectedNetwork], picture: Picture
) -> dict[str, dict[str, float]]:
    """Return the cosine of each layer by the letter of each network but A."""
    _, *letters = network_letters(len(networks))
    return dict(zip(letters, layer_cosines(networks, picture), strict=True))


def _draw_different_layers(
    letter: str, cosines: dict[str, float], first: "ForwardPass", other: "ForwardPass"
) -> None:
    """Say that a network has other layers than A, if that is so, and which are compared."""
    if list(first.shapes.items()) == list(other.shapes.items()):
        return
    if cosines:
        sentence = (
            f"A and {letter} do not have the same layers. Only those with the same name and shape"
            f" are compared: {len(cosines)} of the {len(first.shapes)} layers of A."
        )
    else:
        sentence = (
            f"A and {letter} have no layer of the same name and shape, so their activations cannot"
            " be compared: choose two versions of one network."
        )
    st.info(sentence, icon=":material/compare:")


def _choose_threshold() -> float:
    keep_in_address("parting_threshold", _THRESHOLD, number_parser(float, 0.0, 1.0))
    return st.number_input(
        "Threshold",
        0.0,
        1.0,
        step=0.05,
        format="%.2f",
        key="parting_threshold",
        persist_state="session",
        width=150,
        help=(
            "The networks part at the first layer whose cosine is below this. The cosine is 1 if"
            " the two outputs for this picture are the same but for a factor, and 0 if they are"
            " unrelated."
        ),
    )


def _first_parting(letter: str, cosines: dict[str, float], threshold: float) -> str:
    """Say in Markdown at which layer the network parts from A."""
    from core.inspect.behaviour.similarity import first_parting_layer  # imports torch

    layer = first_parting_layer(cosines, threshold)
    if layer is None:
        lowest = min(cosines, key=cosines.__getitem__)
        return (
            f"{letter} stays with A for this picture: no cosine is below {threshold:.2f}. The"
            f" lowest is {cosines[lowest]:.3f}, at **{plain(lowest)}**."
        )
    return (
        f"{letter} parts from A at **{plain(layer)}** for this picture: it is the first layer whose"
        f" cosine is below {threshold:.2f}, with {cosines[layer]:.3f}."
    )


def _draw_chart(
    similarities: dict[str, dict[str, float]],
    threshold: float,
    comparison: "ActivationComparison",
    layer_view: str,
) -> None:
    from core.charts import parting as charts  # imports altair

    def open_clicked_layer() -> None:
        points = st.session_state[_CHART]["selection"][charts.SELECTION]
        if points and choose_layer_of_a(comparison, points[0].get("layer")):
            choose("view", layer_view)

    table = charts.similarity_table(similarities)
    st.caption("Click a point to see its layer.")
    st.altair_chart(
        charts.similarity_chart(table, threshold),
        key=_CHART,
        on_select=open_clicked_layer,
        selection_mode=charts.SELECTION,
        alt=charts.similarity_alt_text(table),
    )
