"""Caches of the layers and of the pictures on the kernels page, under the keys of the models."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import streamlit as st

from core.models import saved
from core.runs.run import Run
from pages.parts.shared.cache import FileKey, model_key

if TYPE_CHECKING:
    from core.inspect.colour_scale import ColourScale
    from core.inspect.kernels.pairs import LayerShape
    from core.inspect.kernels.pictures import KernelPicture, KernelStatistics
    from core.inspect.kernels.views import KernelView

_LINES = (128, 128, 128, 96)  # between the kernels: visible on the light page and on the dark one
_THUMBNAIL_SIDE = 320  # pixels
_FIGURE_WIDTH = 700  # pixels


@dataclass(frozen=True)
class KernelOptions:
    """How the page draws a weight.

    view: The view of the weight, such as the mean over the input channels.
    channel: The input channel that the view "channel" draws.
    mask: Whether the mask is drawn in place of the weights.
    dark: Whether the page is dark.
    """

    view: "KernelView" = "mean"
    channel: int = 0
    mask: bool = False
    dark: bool = False


@dataclass(frozen=True)
class KernelImage:
    """A weight as a PNG, with what the page says about it.

    png: The image file.
    width: The width of the image in pixels.
    height: The height of the image in pixels.
    view: The view that was drawn.
    scale: The colour scale.
    label: What the colours measure.
    tiles: The number of kernels in the image.
    averaged: The rows and the columns of a large matrix that are averaged into one pixel.
    statistics: The statistics of the weight.
    empty_channels: The number of output channels whose weights are all zero.
    """

    png: bytes
    width: int
    height: int
    view: "KernelView"
    scale: "ColourScale"
    label: str
    tiles: int
    averaged: tuple[int, int]
    statistics: "KernelStatistics"
    empty_channels: int


class StoredWeight(NamedTuple):
    """A weight in a model file.

    model: The key of the file.
    name: The name of the weight.
    """

    model: FileKey
    name: str


# One layer for each model, None for a model that has no such layer.
LayerRow = tuple["LayerShape | None", ...]


def layer_rows(runs: Sequence[Run]) -> list[LayerRow]:
    """Return the layers of one or two models. Corresponding layers are in the same row."""
    return _layer_rows(tuple(model_key(run) for run in runs))


def stored_weights(runs: Sequence[Run], row: LayerRow) -> list[StoredWeight | None]:
    """Return where the weights of a row of layers are stored, None for a missing layer."""
    return [
        StoredWeight(model_key(run), layer.name) if layer else None
        for run, layer in zip(runs, row, strict=True)
    ]


@st.cache_data(max_entries=64, show_spinner=False)
def kernel_images(weights: tuple[StoredWeight, ...], options: KernelOptions) -> list[KernelImage]:
    """Draw weights for a comparison. Raises UserError for one that cannot be read."""
    return [_as_image(picture, options.dark) for picture in _draw(weights, options)]


@st.cache_data(max_entries=4, show_spinner="Drawing every layer …")
def kernel_thumbnails(
    rows: tuple[tuple[StoredWeight, ...], ...], options: KernelOptions
) -> list[list[KernelImage]]:
    """Draw small images of all layers, each in the view of the options if it has that.

    Raises UserError for a weight that cannot be read.
    """
    size = {"width": _THUMBNAIL_SIDE, "side": _THUMBNAIL_SIDE}
    return [
        [_as_image(picture, options.dark) for picture in _draw(weights, options, **size)]
        for weights in rows
    ]


def kernel_figure(
    weights: tuple[StoredWeight, ...],
    options: KernelOptions,
    names: Sequence[str],
    kind: Literal["png", "svg"],
) -> bytes:
    """Return a file with the same weights, with titles, channel numbers and colour bars.

    `names` are the names of the models.
    """
    from core.charts.mosaic_figure import draw_mosaic_figure, encode_figure

    pictures = _draw(weights, options, width=_FIGURE_WIDTH)
    titles = [
        f"{name}\n{weight.name}, {picture.statistics.size}"
        for name, weight, picture in zip(names, weights, pictures, strict=True)
    ]
    mosaics = [picture.mosaic for picture in pictures]
    figure = draw_mosaic_figure(mosaics, titles, pictures[0].label)
    return encode_figure(figure, kind)


@st.cache_data(max_entries=16, show_spinner=False)
def _layer_rows(models: tuple[FileKey, ...]) -> list[LayerRow]:
    from core.inspect.kernels.pairs import pair_layers

    layers = [_layers(model) for model in models]
    if len(layers) == 1:
        return [(layer,) for layer in layers[0]]
    first, second = layers
    return list(pair_layers(first, second))


@st.cache_data(max_entries=16, show_spinner=False)
def _layers(model: FileKey) -> "list[LayerShape]":
    from core.inspect.kernels.pairs import LayerShape

    shapes = saved.layer_shapes(saved.read_card(Path(model[0])))
    return [LayerShape(name, shape) for name, shape in shapes.items()]


def _draw(
    weights: Sequence[StoredWeight], options: KernelOptions, **size: int
) -> "list[KernelPicture]":
    from core.inspect.kernels.pictures import draw_kernels

    tensors = [saved.load_weight(Path(weight.model[0]), weight.name) for weight in weights]
    return draw_kernels(tensors, options.view, options.channel, options.mask, **size)


def _as_image(picture: "KernelPicture", dark: bool) -> KernelImage:
    mosaic = picture.mosaic.in_theme(dark)
    height, width = mosaic.pixels.shape[:2]
    return KernelImage(
        png=mosaic.png(_LINES),
        width=width,
        height=height,
        view=picture.kernels.view,
        scale=mosaic.scale,
        label=picture.label,
        tiles=len(picture.kernels.maps),
        averaged=picture.kernels.averaged,
        statistics=picture.statistics,
        empty_channels=picture.empty_channels,
    )
