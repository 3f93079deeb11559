"""One layer of one or two models: pictures, colour bars, statistics, and files to download."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.runs.run import Run
from pages.parts.kernels.cached import (
    KernelImage,
    KernelOptions,
    StoredWeight,
    kernel_figure,
    kernel_images,
)
from pages.parts.kernels.description import describe_kernel_image
from pages.parts.kernels.statistics import draw_kernel_statistics
from pages.parts.shared.words import plain

_MAX_HEIGHT = 720  # pixels on the screen: all of a tall matrix is visible
_MAX_WIDTH = 1200  # pixels of a picture
_MIN_BAR_WIDTH = 300  # pixels of a colour bar


@dataclass(frozen=True)
class _DrawnWeight:
    """A model's weight with its image."""

    run: Run
    weight: StoredWeight
    image: KernelImage


def draw_kernel_layer(
    runs: Sequence[Run], weights: Sequence[StoredWeight | None], options: KernelOptions
) -> None:
    """Draw a layer of one or two models. The weight of a model without the layer is None."""
    sides = _drawn_weights(runs, weights, options)
    drawn = [side for side in sides if side]
    places, details = _layout(len(runs))
    for index, run in enumerate(runs):
        with places[index].container(key=f"side_{index}"):
            _draw_side(run, sides[index], has_heading=len(runs) > 1)
    with details.container(key="beside"):
        names = [side.run.name for side in drawn] if len(runs) > 1 else []
        draw_kernel_statistics(names, [side.image for side in drawn])
        _draw_downloads(drawn, options)


def _drawn_weights(
    runs: Sequence[Run], weights: Sequence[StoredWeight | None], options: KernelOptions
) -> list[_DrawnWeight | None]:
    """Return the image of each model's weight, None for a model without the layer.

    All are drawn together, because they share a colour scale.
    """
    present = tuple(weight for weight in weights if weight)
    images = iter(kernel_images(present, options))
    return [
        _DrawnWeight(run, weight, next(images)) if weight else None
        for run, weight in zip(runs, weights, strict=True)
    ]


def _layout(count: int) -> tuple[list[DeltaGenerator], DeltaGenerator]:
    """Return the places of the models' pictures, and the place of the details.

    The details are next to the picture of one model, but below the pictures of two.
    """
    if count == 1:
        picture, details = st.columns([2, 1], gap="large")
        return [picture], details
    return st.columns(count, gap="large"), st.container()


def _draw_side(run: Run, side: _DrawnWeight | None, has_heading: bool) -> None:
    if has_heading:
        layer = f" · {plain(side.weight.name.removesuffix('.weight'))}" if side else ""
        st.markdown(f"**{plain(run.name)}**{layer}")
    if side is None:
        st.info(f"{plain(run.name)} has no such layer.", icon=":material/block:")
        return
    image = side.image
    width_at_max_height = round(image.width * _MAX_HEIGHT / image.height)
    width = min(width_at_max_height, _MAX_WIDTH)
    st.image(
        image.png,
        output_format="PNG",
        width=width,
        alt=describe_kernel_image(run.name, side.weight.name, image),
    )
    if image.view == "rgb":
        st.caption(_colours_in_words(image))
    else:
        _draw_colorbar(image, max(width, _MIN_BAR_WIDTH))


def _colours_in_words(image: KernelImage) -> str:
    """Say what the colours of three input channels mean, which no colour bar can show."""
    is_mask = not image.scale.low
    if is_mask:
        return (
            "Each colour is an input channel that was kept: black is pruned in all three, white is"
            " kept in all."
        )
    end = f"{image.scale.high:.3g}"
    return (
        "Red, green and blue are the weights of the three input channels: grey is 0, dark is"
        f" −{end}, bright is {end}."
    )


def _draw_colorbar(image: KernelImage, width: int) -> None:
    from core.charts.colorbar import colorbar_chart  # imports altair

    st.altair_chart(
        colorbar_chart(image.scale, image.label),
        width=width,
        alt=f"Colour bar: {image.label}, from {image.scale.low:.3g} to {image.scale.high:.3g}",
    )


def _draw_downloads(drawn: Sequence[_DrawnWeight], options: KernelOptions) -> None:
    with st.container(horizontal=True, key="downloads"):
        _draw_download("png", "image/png", drawn, options)
        _draw_download("svg", "image/svg+xml", drawn, options)


def _draw_download(
    kind: Literal["png", "svg"], mime: str, drawn: Sequence[_DrawnWeight], options: KernelOptions
) -> None:
    weights = tuple(side.weight for side in drawn)
    names = [side.run.name for side in drawn]
    st.download_button(
        kind.upper(),
        partial(kernel_figure, weights, options, names, kind),
        key=kind,
        mime=mime,
        file_name=f"{weights[0].name}.{kind}",
        on_click="ignore",
        icon=":material/download:",
        help="The picture as a figure, with titles, channel numbers and a colour bar.",
    )
