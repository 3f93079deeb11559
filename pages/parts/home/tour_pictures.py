"""Pictures of a finished tour, on the home page of a new installation.

`python -m examples.tour_pictures` makes them.
"""

from pathlib import Path
from typing import NamedTuple

import streamlit as st

from pages.parts.shared.theme import is_dark

PICTURES_FOLDER = Path(__file__).resolve().parents[3] / "docs" / "tour"


class TourPicture(NamedTuple):
    """A picture in both themes, PICTURES_FOLDER/name-light.png and FOLDER/name-dark.png."""

    name: str
    title: str
    caption: str

    def file(self, theme: str) -> Path:
        """Return its file. theme: "light" or "dark"."""
        return PICTURES_FOLDER / f"{self.name}-{theme}.png"


TOUR_PICTURES = (
    TourPicture(
        "curves",
        "A tenth of the weights is enough",
        "LeNet5 gets 99.4% of 360 test images right with all its weights, and 97.5% with the tenth"
        " that SNIP keeps.",
    ),
    TourPicture(
        "weights",
        "Five values for all weights of a layer",
        "Quantized, the pruned network still gets 97.2% right. Its file has 5.3 kB; that of the"
        " dense network has 208.7 kB.",
    ),
    TourPicture(
        "activations",
        "What a layer makes of a picture",
        "The outputs of the first layer for a handwritten zero, in the dense network (A), the"
        " pruned one (B) and the quantized one (C).",
    ),
)


def draw_tour_pictures() -> None:
    """Draw the pictures side by side, each with its caption."""
    theme = "dark" if is_dark() else "light"
    st.subheader("What the tour makes", anchor=False)
    for place, picture in zip(st.columns(3, gap="large"), TOUR_PICTURES, strict=True):
        with place:
            st.markdown(f"**{picture.title}**  \n{picture.caption}")
            st.image(picture.file(theme), width="stretch", alt=picture.title)
