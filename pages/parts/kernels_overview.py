"""All layers at once, small: a picture each, or a pair of them, and a click leads to the layer."""

from collections.abc import Iterator

import streamlit as st

from core.runs.run import Run
from pages.parts.kernels_choice import open_layer
from pages.parts.kernels_layer import described
from pages.parts.kernels_pictures import Picture, Side, thumbnails

_SIDE = 150  # pixels of a picture on the screen, at most


def show(runs: list[Run], names: list[str], pairs: list[list[Side | None]], mask: bool) -> None:
    """Draw every row of layers under its name; a click on the name opens the layer."""
    drawn = thumbnails(tuple(tuple(filter(None, pair)) for pair in pairs), mask)
    scale = f"Every layer has a scale of its own, white at 0{', for both models' if len(runs) == 2 else ''}."
    st.caption(f"{'Black: kept. White: zero.' if mask else scale} A click on a name shows the layer large.")
    items, across = list(zip(names, pairs, drawn, strict=True)), 6 // len(runs)
    for start in range(0, len(items), across):
        for place, item in zip(st.columns(across), items[start:start + across], strict=False):
            with place.container(border=True, gap="small", height="stretch"):
                _card(runs, *item)


def _card(runs: list[Run], name: str, pair: list[Side | None], pictures: list[Picture]) -> None:
    st.button(name.removesuffix(".weight"), key=f"open_{name}", type="tertiary", on_click=open_layer, args=(name,),
              help="Show this layer large.")
    _pair(runs, pair, iter(pictures))


def _pair(runs: list[Run], pair: list[Side | None], pictures: Iterator[Picture]) -> None:
    with st.container(horizontal=True, gap="small"):
        for run, side in zip(runs, pair, strict=True):
            with st.container(width=_SIDE, gap="small"):
                if side is None:
                    st.caption("Not in this network")
                else:
                    _thumbnail(run, side, next(pictures))


def _thumbnail(run: Run, side: Side, picture: Picture) -> None:
    st.image(picture.png, output_format="PNG", width=min(_SIDE, round(picture.width * _SIDE / picture.height)),
             alt=described(run.name, side[2], picture))
    st.caption(f"{picture.numbers.size}, {picture.numbers.zeros / picture.numbers.weights:.0%} zero")
