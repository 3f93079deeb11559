"""Draws many small maps as one picture: a tile for each channel, all on one colour scale.

The picture is an 8-bit palette image (see `colour_scale`), or has its own colours where the maps
do. Nothing here needs torch.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from PIL import Image

from core.inspect.colour_scale import FRAME_COLOUR, FRAME_LEVEL, SPACE_LEVEL, ColourScale
from core.inspect.mosaic_grid import MosaicGrid, column_count

_OPAQUE = 255


@dataclass(frozen=True)
class Mosaic:
    """The picture of many maps.

    pixels: palette levels (H, W), or (H, W, 4) uint8 with opacity where the maps have colours.
    grid: the positions of the tiles.
    scale: the values that the colours stand for.
    """

    pixels: np.ndarray
    grid: MosaicGrid
    scale: ColourScale

    @property
    def has_palette(self) -> bool:
        """Whether the pixels are palette levels, not colours."""
        return self.pixels.ndim == 2

    @cached_property
    def rgb(self) -> np.ndarray:
        """The picture as (H, W, 3) uint8, white between the tiles."""
        if self.has_palette:
            return self.scale.palette[self.pixels]
        opacity = self.pixels[..., 3:]
        return np.where(opacity, self.pixels[..., :3], np.uint8(255))

    @property
    def space(self) -> np.ndarray:
        """Which pixels are outside all tiles and frames: (H, W) bool."""
        if self.has_palette:
            return self.pixels == SPACE_LEVEL
        return self.pixels[..., 3] == 0

    def in_theme(self, dark: bool) -> "Mosaic":
        """Return the same picture in the colours of a page that is dark or not."""
        return replace(self, scale=self.scale.in_theme(dark))

    def png(self, space: tuple[int, int, int, int] = (255, 255, 255, 0)) -> bytes:
        """Encode the picture as a PNG file, quickly rather than small.

        space: the colour between the tiles as red, green, blue and opacity, each in [0, 255].
        """
        file = io.BytesIO()
        if self.has_palette:
            image = self._palette_image(space)
            opacities = [_OPAQUE] * SPACE_LEVEL + [space[3]]
            image.save(file, "PNG", compress_level=1, transparency=bytes(opacities))
        else:
            image = self._colour_image(space)
            image.save(file, "PNG", compress_level=1)
        return file.getvalue()

    def _palette_image(self, space: tuple[int, int, int, int]) -> Image.Image:
        palette = self.scale.palette.copy()
        palette[SPACE_LEVEL] = space[:3]
        image = Image.fromarray(self.pixels)
        image.putpalette(palette.tobytes())
        return image

    def _colour_image(self, space: tuple[int, int, int, int]) -> Image.Image:
        pixels = self.pixels
        if space[3]:
            pixels = np.where(pixels[..., 3:], pixels, np.array(space, np.uint8))
        return Image.fromarray(pixels)


def make_mosaic(
    maps: np.ndarray,
    scale: ColourScale,
    order: Sequence[int] | np.ndarray | None = None,
    marked: np.ndarray | None = None,
    columns: int | None = None,
    gap: int = 1,
    tile: int = 24,
    aspect: float = 1.0,
) -> Mosaic:
    """Draw C maps as the tiles of one picture.

    maps: (C, H, W); (C, L) are drawn as strips, (C,) as squares, and (C, H, W, 3) as red, green
        and blue.
    order: the channels to draw, in this order; all of them by default.
    marked: (C,) bool, the channels that get a frame, drawn in the gap around their tile.
    columns: the number of columns; by default the picture becomes about `aspect` times as wide as
        high.
    tile: pixels; small maps are enlarged by a whole factor until their longer side has at least as
        many.
    """
    maps = _with_height_and_width(maps)
    order = np.arange(len(maps)) if order is None else np.asarray(order, dtype=np.intp)
    zoom = max(1, math.ceil(tile / max(maps.shape[1:3])))
    tiles = _coloured(maps[order], scale).repeat(zoom, 1).repeat(zoom, 2)
    height, width = tiles.shape[1:3]
    if columns is None:
        columns = column_count(len(order), height + 2 * gap, (width + 2 * gap) / aspect)
    grid = MosaicGrid(order, columns, height, width, zoom, gap)
    framed = np.array([], np.intp) if marked is None else np.flatnonzero(np.asarray(marked)[order])
    return Mosaic(_pixels(tiles, grid, framed), grid, scale)


def _with_height_and_width(maps: np.ndarray) -> np.ndarray:
    """Give maps of shape (C,) or (C, L) a height and a width of 1 where they lack them."""
    missing = 3 - maps.ndim
    return maps.reshape(len(maps), *(1,) * missing, *maps.shape[1:])


def _coloured(maps: np.ndarray, scale: ColourScale) -> np.ndarray:
    """Return palette levels (C, H, W), or opaque colours (C, H, W, 4) for maps with colours."""
    if maps.ndim == 3:
        return scale.levels(maps)
    colours = scale.levels(maps, top=255)
    opacity = np.full_like(colours[..., :1], _OPAQUE)
    return np.concatenate([colours, opacity], axis=-1)


def _pixels(tiles: np.ndarray, grid: MosaicGrid, framed: np.ndarray) -> np.ndarray:
    """Put the tiles into one picture, with a frame around those numbered in `framed`."""
    in_colour = tiles.ndim == 4
    empty = 0 if in_colour else SPACE_LEVEL
    frame = (*FRAME_COLOUR, _OPAQUE) if in_colour else FRAME_LEVEL
    colour_axis = tiles.shape[3:]
    shape = (grid.rows, grid.cell_height, grid.columns, grid.cell_width, *colour_axis)
    picture = np.full(shape, empty, np.uint8)

    cells = picture.swapaxes(1, 2)  # A view: writing into a cell writes into the picture.
    cells[np.divmod(framed, grid.columns)] = frame
    rows, columns = np.divmod(np.arange(len(tiles)), grid.columns)
    inner_rows = slice(grid.gap, grid.gap + grid.height)
    inner_columns = slice(grid.gap, grid.gap + grid.width)
    cells[rows, columns, inner_rows, inner_columns] = tiles

    height = grid.rows * grid.cell_height
    width = grid.columns * grid.cell_width
    return picture.reshape(height, width, *colour_axis)
