"""Small pictures of all layers of one or two models. A click on a name opens the layer."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from core.runs.run import Run
from pages.parts.kernels.cached import (
    KernelImage,
    KernelOptions,
    LayerRow,
    StoredWeight,
    kernel_thumbnails,
    stored_weights,
)
from pages.parts.kernels.choice import open_kernel_layer, row_name
from pages.parts.kernels.description import describe_kernel_image
from pages.parts.shared.words import part

_MAX_SIDE = 150  # pixels of a picture on the screen
_PICTURES_ACROSS = 6


@dataclass(frozen=True)
class _Card:
    """A row of layers with its pictures.

    name: The name of the row.
    weights: The weight of each model, None for a model without the layer.
    images: The pictures of the weights that are not None.
    """

    name: str
    weights: list[StoredWeight | None]
    images: list[KernelImage]


def draw_kernel_overview(
    runs: Sequence[Run], rows: Sequence[LayerRow], options: KernelOptions
) -> None:
    """Draw a card for every row of layers, with a picture for each model that has the layer."""
    cards = _cards(runs, rows, options)
    st.caption(f"{_colours_in_words(len(runs), options)} A click on a name opens the layer.")
    cards_across = _PICTURES_ACROSS // len(runs)
    for start in range(0, len(cards), cards_across):
        columns = st.columns(cards_across)
        for column, card in zip(columns, cards[start : start + cards_across], strict=False):
            with column.container(border=True, gap="small", height="stretch"):
                _draw_card(runs, card)


def _cards(runs: Sequence[Run], rows: Sequence[LayerRow], options: KernelOptions) -> list[_Card]:
    weights = [stored_weights(runs, row) for row in rows]
    present = tuple(tuple(weight for weight in row if weight) for row in weights)
    images = kernel_thumbnails(present, options)
    return [
        _Card(row_name(row), row_weights, row_images)
        for row, row_weights, row_images in zip(rows, weights, images, strict=True)
    ]


def _colours_in_words(models: int, options: KernelOptions) -> str:
    if options.mask:
        return "Black: kept. White: zero."
    centre = "black" if options.dark else "white"
    if models == 2:
        return f"Every layer has its own scale, {centre} at 0, which both models share."
    return f"Every layer has its own scale, {centre} at 0."


def _draw_card(runs: Sequence[Run], card: _Card) -> None:
    st.button(
        card.name.removesuffix(".weight"),
        key=f"open_{card.name}",
        type="tertiary",
        on_click=open_kernel_layer,
        args=(card.name,),
        help="Open this layer.",
    )
    images = iter(card.images)
    with st.container(horizontal=True, gap="small"):
        for run, weight in zip(runs, card.weights, strict=True):
            with st.container(width=_MAX_SIDE, gap="small"):
                if weight is None:
                    st.caption("Not in this network")
                else:
                    _draw_thumbnail(run, weight, next(images))


def _draw_thumbnail(run: Run, weight: StoredWeight, image: KernelImage) -> None:
    width_at_max_height = round(image.width * _MAX_SIDE / image.height)
    st.image(
        image.png,
        output_format="PNG",
        width=min(_MAX_SIDE, width_at_max_height),
        alt=describe_kernel_image(run.name, weight.name, image),
    )
    zeros = image.statistics.zeros / image.statistics.weights
    st.caption(f"{image.statistics.size}, {part(zeros)} zero")
