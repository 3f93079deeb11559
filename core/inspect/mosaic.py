"""Many small maps in one picture: a channel a tile, on one colour scale, as an 8-bit palette image.

Index 0 to 252 of the palette is the colormap. 253 levels and not 256, so that the centre of a diverging scale is a
level of its own, and there is room for the space between the tiles (transparent in a PNG), for a frame and for what is
no number. numpy arrays come in; nothing here needs torch.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from PIL import Image

_TOP = 252
_SPACE, _FRAME, _NO_NUMBER = 253, 254, 255
_FRAME_COLOUR = (224, 33, 138)  # a magenta that is in neither of the colormaps, and visible on black and on white


@dataclass(frozen=True)
class Scale:
    """The values that the two ends of a matplotlib colormap stand for; beyond them the colour stays the same."""

    low: float
    high: float
    colormap: str

    @classmethod
    def sequential(cls, *arrays: np.ndarray, colormap: str = "viridis") -> "Scale":
        """From 0, or the least value if that is negative, to the greatest of all the arrays."""
        low = min(0.0, *(array.min(initial=0, where=np.isfinite(array)) for array in arrays), 0.0)
        high = max(array.max(initial=low, where=np.isfinite(array)) for array in arrays)
        return cls(float(low), float(high) if high > low else float(low) + 1, colormap)

    @classmethod
    def diverging(cls, *arrays: np.ndarray, colormap: str = "RdBu_r") -> "Scale":
        """Centred at 0, as far as the greatest magnitude in all the arrays."""
        end = max(float(np.abs(array).max(initial=0, where=np.isfinite(array))) for array in arrays) or 1.0
        return cls(-end, end, colormap)

    def levels(self, values: np.ndarray, top: int = _TOP) -> np.ndarray:
        """uint8 in [0, top], nearest level; 255 where a value is not a number."""
        share = np.clip((np.asarray(values, np.float32) - self.low) / (self.high - self.low), 0, 1)
        return np.nan_to_num(np.rint(share * top), nan=_NO_NUMBER).astype(np.uint8)

    @property
    def palette(self) -> np.ndarray:
        """(256, 3) uint8: the colormap's levels, the space, the frame, and grey for what is no number."""
        return _palette(self.colormap)


@lru_cache
def _palette(colormap: str) -> np.ndarray:
    from matplotlib import colormaps
    levels = colormaps[colormap](np.linspace(0, 1, _TOP + 1), bytes=True)[:, :3]
    palette = np.vstack([levels, [(255, 255, 255), _FRAME_COLOUR, (128, 128, 128)]]).astype(np.uint8)
    palette.setflags(write=False)  # one for all
    return palette


@dataclass(frozen=True)
class Grid:
    """Where a mosaic's tiles are, in its pixels: `order[i]` is the channel of tile i, counted along the rows.

    A tile measures `height` x `width` pixels (a value is `zoom` x `zoom` of them) and has `gap` pixels around it.
    """

    order: np.ndarray
    columns: int
    height: int
    width: int
    zoom: int
    gap: int

    @property
    def rows(self) -> int:
        return -(-len(self.order) // self.columns)

    def channel_at(self, x: float, y: float) -> int | None:
        """The channel under a point, x to the right and y down from the picture's corner; None between the tiles."""
        column, x = divmod(int(x // 1), self.width + 2 * self.gap)
        row, y = divmod(int(y // 1), self.height + 2 * self.gap)
        tile = row * self.columns + column
        inside = self.gap <= x < self.gap + self.width and self.gap <= y < self.gap + self.height
        return int(self.order[tile]) if inside and 0 <= column < self.columns and 0 <= tile < len(self.order) else None

    def box(self, channel: int) -> tuple[int, int, int, int]:
        """A channel's tile without the space around it: left, top, right, bottom, the last two exclusive.

        Raises KeyError for a channel that is not in the picture.
        """
        tiles = np.flatnonzero(self.order == channel)
        if not len(tiles):
            raise KeyError(channel)
        row, column = divmod(int(tiles[0]), self.columns)
        left = column * (self.width + 2 * self.gap) + self.gap
        top = row * (self.height + 2 * self.gap) + self.gap
        return left, top, left + self.width, top + self.height


@dataclass(frozen=True)
class Mosaic:
    """A picture: `pixels` are palette indices (H, W), or (H, W, 4) uint8 where the maps were in colour themselves."""

    pixels: np.ndarray
    grid: Grid
    scale: Scale

    @cached_property
    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8, white between the tiles."""
        if self.pixels.ndim == 2:
            return self.scale.palette[self.pixels]
        return np.where(self.pixels[..., 3:], self.pixels[..., :3], np.uint8(255))

    @property
    def space(self) -> np.ndarray:
        """(H, W) bool: what is not part of a tile or a frame."""
        return self.pixels == _SPACE if self.pixels.ndim == 2 else self.pixels[..., 3] == 0

    def png(self, space: tuple[int, int, int, int] = (255, 255, 255, 0)) -> bytes:
        """The picture as a file, with the colour `space` (red, green, blue, opacity) between the tiles.

        Its size matters less than the time it takes.
        """
        pixels, options = self.pixels, {}
        if pixels.ndim == 3 and space[3]:
            pixels = np.where(pixels[..., 3:], pixels, np.array(space, np.uint8))
        image = Image.fromarray(pixels)
        if pixels.ndim == 2:
            palette = self.scale.palette.copy()
            palette[_SPACE] = space[:3]
            image.putpalette(palette.tobytes())
            options["transparency"] = bytes([*[255] * _SPACE, space[3]])
        file = io.BytesIO()
        image.save(file, "PNG", compress_level=1, **options)
        return file.getvalue()


def mosaic(maps: np.ndarray, scale: Scale, order: Sequence[int] | None = None, marked: np.ndarray | None = None,
           columns: int | None = None, gap: int = 1, tile: int = 24, aspect: float = 1.0) -> Mosaic:
    """One picture of C maps: (C, H, W), (C, L) as strips, (C,) as squares, or (C, H, W, 3) as red, green and blue.

    `order` lists the channels to show, all in their own order if not given; `marked` (C,) bool are framed, in their
    `gap`. Small maps are enlarged by a whole factor until their longer side has `tile` pixels. Without `columns` the
    picture is about `aspect` times as wide as high.
    """
    maps = maps.reshape(len(maps), *(1,) * (3 - maps.ndim), *maps.shape[1:])
    order = np.arange(len(maps)) if order is None else np.asarray(order, dtype=np.intp)
    zoom = -(-tile // max(maps.shape[1:3])) or 1
    tiles = _tiles(maps[order], scale).repeat(zoom, 1).repeat(zoom, 2)
    height, width = tiles.shape[1:3]
    columns = columns or _columns(len(order), height + 2 * gap, (width + 2 * gap) / aspect)
    grid = Grid(order, columns, height, width, zoom, gap)
    framed = np.flatnonzero([] if marked is None else np.asarray(marked)[order])
    return Mosaic(_laid_out(tiles, grid, framed), grid, scale)


def _tiles(maps: np.ndarray, scale: Scale) -> np.ndarray:
    """Palette indices (C, H, W), or opaque colours (C, H, W, 4)."""
    if maps.ndim == 3:
        return scale.levels(maps)
    colours = scale.levels(maps, top=255)
    return np.concatenate([colours, np.full_like(colours[..., :1], 255)], -1)


def _laid_out(tiles: np.ndarray, grid: Grid, framed: np.ndarray) -> np.ndarray:
    """The picture of all tiles, those numbered in `framed` with a frame."""
    height, width = grid.height + 2 * grid.gap, grid.width + 2 * grid.gap
    picture = np.full((grid.rows, height, grid.columns, width, *tiles.shape[3:]), 0 if tiles.ndim == 4 else _SPACE,
                      np.uint8)
    cells = picture.swapaxes(1, 2)  # a view: writing into a cell writes into the picture
    cells[np.divmod(framed, grid.columns)] = (*_FRAME_COLOUR, 255) if tiles.ndim == 4 else _FRAME
    rows, columns = np.divmod(np.arange(len(tiles)), grid.columns)
    cells[rows, columns, grid.gap:grid.gap + grid.height, grid.gap:grid.gap + grid.width] = tiles
    return picture.reshape(grid.rows * height, grid.columns * width, *tiles.shape[3:])


def _columns(count: int, height: float, width: float) -> int:
    """As many as make the picture nearly square, and rather a few more if then no row is left incomplete."""
    square = min(math.ceil(math.sqrt(count * height / width)), count)
    return next((columns for columns in range(square, 2 * square) if count % columns == 0), square)


def tile_for(maps: np.ndarray, width: int, aspect: float = 1.0, gap: int = 1) -> int:
    """The `tile` at which the mosaic of all `maps` fills about `width` pixels; at least the maps' own size."""
    height, wide = (1, 1, *maps.shape[1:3])[-2:]
    room = width * math.sqrt(1 / (aspect * len(maps)))  # pixels of a square tile's side, with its space
    return max(height, wide) * max(1, int((room - 2 * gap) / math.sqrt(height * wide)))


def strongest(values: np.ndarray) -> np.ndarray:
    """The channels in descending order of `values` (C,), equal ones in their own order, those without a number last."""
    return np.argsort(-values, kind="stable")


def block_means(matrix: np.ndarray, side: int) -> tuple[np.ndarray, tuple[int, int]]:
    """A matrix of at most `side` x `side`, and how many rows and columns were averaged into one of its.

    The last blocks may be smaller; they are the means of what they have.
    """
    steps = tuple(-(-length // side) for length in matrix.shape)
    for axis, step in enumerate(steps):
        if step > 1:
            starts = np.arange(0, matrix.shape[axis], step)
            sizes = np.diff(starts, append=matrix.shape[axis])
            matrix = np.add.reduceat(matrix, starts, axis) / np.expand_dims(sizes.astype(np.float32), 1 - axis)
    return matrix, steps
