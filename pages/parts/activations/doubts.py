"""Says when the answers of a network mean nothing: it is untrained, or knows only digits."""

import streamlit as st

from core.inspect.activations.tables import network_letters
from pages.parts.activations.sources.network import InspectedNetwork
from pages.parts.shared.picture import Picture

_DIGITS = "Digits"  # the data set of handwritten digits


def draw_doubts(networks: list[InspectedNetwork], picture: Picture) -> None:
    """Draw a sentence for each reason to doubt the answers, if there is one."""
    letters = network_letters(len(networks))
    untrained = []
    of_digits = []
    for letter, network in zip(letters, networks, strict=True):
        if not network.is_trained:
            untrained.append(letter)
        elif network.card.dataset == _DIGITS != picture.dataset:
            of_digits.append(letter)
    if untrained:
        _draw(f"{_subject(untrained, letters)} not trained yet: the answers mean nothing.")
    if of_digits:
        _draw(
            f"{_subject(of_digits, letters)} trained on handwritten digits: the answers for a"
            " photograph of anything else mean nothing."
        )


def _subject(some: list[str], letters: list[str]) -> str:
    """Return the networks as the subject of a sentence, with its verb."""
    if len(letters) == 1:
        return "This network was"
    if some == letters:
        return "These networks were"
    return f"{some[0]} was" if len(some) == 1 else f"{' and '.join(some)} were"


def _draw(sentence: str) -> None:
    st.warning(sentence, icon=":material/help:")
