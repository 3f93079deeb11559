"""The steps of the tour: their titles and texts, and the way from one to the next."""

from typing import NamedTuple

import streamlit as st

from pages.parts.shared.address import choose, keep_in_address, number_parser

_KEY = "tour_step"


class _Step(NamedTuple):
    """A step. waiting: the help of the button to the next step while that cannot be opened."""

    title: str
    text: str
    waiting: str = ""


_STEPS = (
    _Step(
        "Train the network twice",
        "LeNet5 learns to read handwritten digits twice: with all its weights, and with the tenth"
        " of them that SNIP keeps. SNIP chooses them before the training, from a few images.",
        "Both trainings have to finish first.",
    ),
    _Step(
        "Quantize the pruned one",
        "K-means gives the weights of each layer five different values, not counting zero, and two"
        " epochs of tuning repair what that costs. Below are the sizes of the three packed files on"
        " disk, and how many of the test images each network gets right.",
        "The quantization has to finish first.",
    ),
    _Step(
        "Look at its weights",
        "The bars count the weights of one layer by their value: as they were drawn, after the"
        " training, and quantized. Weights that are exactly zero are written as a number above.",
    ),
    _Step(
        "Show it a picture",
        "One picture goes through all three networks. Their answers and the outputs of their first"
        " layer show what the compression changed.",
    ),
)


def choose_step() -> int:
    """Return the step that the address names, or that was shown last, and draw its heading."""
    keep_in_address(_KEY, 1, number_parser(int, 1, len(_STEPS)), name="step")
    step: int = st.session_state[_KEY]
    title, text, _ = _STEPS[step - 1]
    st.subheader(f"{step} of {len(_STEPS)}: {title}", anchor=False)
    st.markdown(text)
    return step


def draw_step_buttons(step: int, can_go_on: bool) -> None:
    """Draw the buttons to the steps before and after, and the way out."""
    with st.container(horizontal=True, vertical_alignment="center", key="tour_buttons"):
        if step > 1:
            _draw_button("Back", "tour_back", ":material/arrow_back:", step - 1)
        if step < len(_STEPS):
            st.button(
                "Next",
                icon=":material/arrow_forward:",
                type="primary",
                key="tour_next",
                on_click=choose,
                args=(_KEY, step + 1),
                disabled=not can_go_on,
                help=None if can_go_on else _STEPS[step - 1].waiting,
            )
        is_last = step == len(_STEPS)
        label = "End the tour" if is_last else "Skip the tour"
        st.page_link("pages/home.py", label=label, icon=":material/close:")


def draw_missing_step(step: int) -> None:
    """Say that an earlier step is to be finished first, and draw the button that opens it."""
    st.info(f"Step {step} of the tour has to finish first.", icon=":material/hourglass_empty:")
    _draw_button(f"Open step {step}", "tour_missing", ":material/arrow_back:", step)


def _draw_button(label: str, key: str, icon: str, step: int) -> None:
    st.button(label, icon=icon, key=key, on_click=choose, args=(_KEY, step))
