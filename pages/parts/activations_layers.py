"""All layers: a row each, networks side by side, and what differs."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.inspect.figures import letters, size
from core.inspect.mosaic import Scale, mosaic
from pages.parts import activations_looks
from pages.parts.activations_sources import Subject
from pages.parts.image_input import Picture

if TYPE_CHECKING:
    from core.inspect.beside import Beside, Row

ORDERS = {"Channel": "channel", "Strength": "strength", "Difference": "difference"}
LAYOUT = {1: (1200, 6.0), 2: (600, 3.0), 3: (440, 2.0), 5: (280, 1.25)}  # pictures in a row -> pixels, width to height


def order(seen: "Beside") -> str:
    """Draw the choice of the channels' order."""
    options = [name for name in ORDERS if name != "Difference" or seen.changes]
    if st.session_state.get("order") not in (None, *options):
        st.session_state["order"] = "Channel"
    name = st.segmented_control("Sort channels by", options, default="Channel", key="order", required=True,
                                bind="query-params", help="Channel: as the network numbers them. Strength: the "
                                "greatest mean of A first. Difference: the greatest mean difference from A first.")
    return ORDERS[name]


def legend(seen: "Beside") -> None:
    """Draw what the colours mean."""
    with st.container(horizontal=True, vertical_alignment="center", key="legend"):
        st.image(_ramp("viridis"), width=90, alt="A scale from violet to yellow")
        st.caption("0 to the layer's maximum", width="content")
        if seen.changes:
            st.image(_ramp("RdBu_r"), width=90, alt="A scale from blue over white to red")
            st.caption("less than A, the same, more", width="content")
        st.image(_dead(), width=16, alt="A dark square in a magenta frame")
        st.caption("dead: 0 everywhere in this picture" + (", in a difference: newly dead" if seen.changes else ""),
                   width="content")


@st.cache_data(show_spinner=False)
def _ramp(colormap: str) -> bytes:
    return mosaic(np.tile(np.linspace(0, 1, 180), (1, 20, 1)), Scale(0.0, 1.0, colormap), gap=0, tile=1).png()


@st.cache_data(show_spinner=False)
def _dead() -> bytes:
    return mosaic(np.zeros((1, 1, 1)), Scale(0.0, 1.0, "viridis"), marked=np.ones(1, bool), gap=4, tile=24).png()


def titles(count: int, changes: int) -> list[str]:
    """What stands over each picture of a row: the letters, then the differences."""
    return letters(count) + [f"{letter} − A" for letter in "BC"[:changes]]


def show(subjects: list[Subject], picture: Picture, seen: "Beside", by: str, root: Path) -> None:
    """Draw every ReLU."""
    legend(seen)
    names = titles(len(subjects), len(seen.changes))
    width, aspect = LAYOUT[len(names)]
    drawn = activations_looks.pictures(subjects, picture, by, width, aspect)
    for number, (row, pictures) in enumerate(zip(seen.rows, drawn, strict=True)):
        _row(number, row, seen, names, pictures)


def _row(number: int, row: "Row", seen: "Beside", names: list[str], pictures: list) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"head-{number}"):
        keys = " | ".join(dict.fromkeys(f"`{key}`" for key in row if key))
        st.markdown(f"**{keys}** · {size(seen, row, ' channels')}", width="content")
        st.button("Closer", icon=":material/zoom_in:", type="tertiary", key=f"closer-{number}", on_click=_closer,
                  args=(number,), help="This layer in full, with its channels and their kernels.")
    for place, name, words, shown in zip(st.columns(len(names)), names, said(row, seen), pictures, strict=True):
        if shown is None:
            place.caption("No more ReLUs.")
            continue
        png, scale = shown
        place.image(png, width="stretch", caption=" · ".join(filter(None, [name and f"**{name}**", scale, words])),
                    alt=f"{row[0] or row[-1]} {name}: {words}")


def _closer(number: int) -> None:
    st.session_state["view"], st.session_state["layer"] = "One layer", number


def said(row: "Row", seen: "Beside") -> list[str]:
    """A few words for each picture of a row."""
    words = []
    for key, look in zip(row, seen.looks, strict=True):
        found = look.statistics.get(key)
        words.append("" if found is None else f"{found.zeros.mean().item():.0%} zeros, {int(found.dead.sum())} dead")
    for change in seen.changes:
        found = change[row[0]]
        words.append(f"cosine {found.layer_cosine:.3f}, {int(found.newly_dead.sum())} newly dead")
    return words
