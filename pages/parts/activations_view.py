"""What networks make of a picture: their answers, and every ReLU: all layers, one of them, or a table."""

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from PIL import Image

from core.data.picture import to_square
from core.inspect.figures import letters
from pages.parts import activations_layer, activations_layers, activations_looks, activations_table
from pages.parts.activations_sources import Subject
from pages.parts.image_input import Picture, thumbnail
from pages.parts.states import plain

if TYPE_CHECKING:
    from core.inspect.beside import Beside

VIEWS = {"All layers": activations_layers.show, "One layer": activations_layer.show, "Table": activations_table.show}


def show(subjects: list[Subject], picture: Picture, root: Path) -> None:
    """Draw everything about the subjects' looks at the picture."""
    seen = activations_looks.beside(subjects, picture)
    left, right = st.columns([2, 3], gap="large")
    with left:
        _prepared(subjects, picture)
    with right:
        _answers(subjects, seen, picture)
    if not seen.alike:
        st.info("These networks do not have the same ReLUs: they are shown side by side in the order of their calls, "
                "each on a scale of its own, and without a difference.", icon=":material/compare:")
    with st.container(horizontal=True, key="shown"):
        view = st.segmented_control("Show", list(VIEWS), default="All layers", key="view", required=True,
                                    bind="query-params", help="All ReLUs as pictures, one of them in full, or all "
                                    "figures.")
        by = "channel" if view == "Table" else activations_layers.order(seen)
    VIEWS[view](subjects, picture, seen, by, root)


def _prepared(subjects: list[Subject], picture: Picture) -> None:
    """The picture, and what each network gets of it."""
    width, height = picture.image.size
    with st.container(horizontal=True, key="prepared"):
        st.image(thumbnail(picture.image), caption=f"{plain(picture.name)}, {width}\u00a0×\u00a0{height}", width=180,
                 alt=f"The picture: {picture.name}")
        for side in dict.fromkeys(subject.facts.side for subject in subjects):
            square = Image.fromarray(to_square(picture.image, side).transpose(1, 2, 0))
            st.image(thumbnail(square), caption=f"What the network sees, {side}\u00a0×\u00a0{side}", width=180,
                     alt=f"The middle square of the picture at {side} by {side} pixels")
    shared: dict[tuple, list[str]] = {}
    for letter, subject in zip(letters(len(subjects)), subjects, strict=True):
        shared.setdefault((subject.facts.mean, subject.facts.std), []).append(letter)
    for (mean, std), whose in shared.items():
        st.caption((f"{', '.join(whose)}: normalised" if len(shared) > 1 else "Normalised") + " as in training: red, "
                   f"green and blue in [0, 1], minus {_listed(mean)}, divided by {_listed(std)}.")


def _listed(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def _answers(subjects: list[Subject], seen: "Beside", picture: Picture) -> None:
    """The classes with their probabilities."""
    from core.charts import predictions  # brings altair

    names = [f"{letter} {subject.name}".strip() for letter, subject in zip(letters(len(subjects)), subjects,
                                                                           strict=True)]
    by_classes: dict[tuple[str, ...], dict] = {}
    for name, subject, look in zip(names, subjects, seen.looks, strict=True):
        by_classes.setdefault(subject.facts.classes, {})[name] = look.probabilities
    for number, (classes, probabilities) in enumerate(by_classes.items()):
        st.markdown(plain(predictions.described(classes, probabilities)))
        st.altair_chart(predictions.chart(classes, probabilities, picture.label), key=f"answers{number}",
                        alt="Probabilities of the likeliest classes")  # a text that changes would draw a live one anew
