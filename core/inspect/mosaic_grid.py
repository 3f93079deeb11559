"""Lays out the tiles of a mosaic: their size, their positions, and the channel at a point."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class MosaicGrid:
    """The positions of a mosaic's tiles, in pixels.

    order: the channel of each tile; tiles are counted row by row from the top left.
    columns: the number of tiles in a row.
    height, width: the size of a tile without the space around it.
    zoom: the side of the square of pixels that shows one value.
    gap: the width of the space around each tile; neighbours are two gaps apart.
    """

    order: np.ndarray
    columns: int
    height: int
    width: int
    zoom: int
    gap: int

    @property
    def rows(self) -> int:
        """The number of rows; the last one may be incomplete."""
        return math.ceil(len(self.order) / self.columns)

    @property
    def cell_height(self) -> int:
        """The height of a tile with the space around it."""
        return self.height + 2 * self.gap

    @property
    def cell_width(self) -> int:
        """The width of a tile with the space around it."""
        return self.width + 2 * self.gap

    def channel_at(self, x: float, y: float) -> int | None:
        """Return the channel at a point, or None between the tiles and outside the picture.

        x grows to the right and y downwards, from the picture's top left corner.
        """
        column, x_in_cell = divmod(math.floor(x), self.cell_width)
        row, y_in_cell = divmod(math.floor(y), self.cell_height)
        if not 0 <= column < self.columns or not 0 <= row < self.rows:
            return None
        tile = row * self.columns + column
        in_width = self.gap <= x_in_cell < self.gap + self.width
        in_height = self.gap <= y_in_cell < self.gap + self.height
        if tile >= len(self.order) or not in_width or not in_height:
            return None
        return int(self.order[tile])

    def box(self, channel: int) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom of a channel's tile; the last two are exclusive.

        Raises KeyError for a channel that is not in the picture.
        """
        tiles = np.flatnonzero(self.order == channel)
        if not len(tiles):
            raise KeyError(channel)
        row, column = divmod(int(tiles[0]), self.columns)
        left = column * self.cell_width + self.gap
        top = row * self.cell_height + self.gap
        return left, top, left + self.width, top + self.height


def column_count(tiles: int, cell_height: float, cell_width: float) -> int:
    """Return the number of columns that makes a picture of the tiles nearly square.

    A few more columns are taken if that completes the last row.
    """
    square = math.ceil(math.sqrt(tiles * cell_height / cell_width))
    fewest = min(square, tiles)
    for columns in range(fewest, 2 * fewest):
        if tiles % columns == 0:
            return columns
    return fewest


def fit_tile(maps: np.ndarray, width: int, aspect: float = 1.0, gap: int = 1) -> int:
    """Return the `tile` for `make_mosaic` that makes the mosaic about `width` pixels wide.

    The tile is the longer side of a map, or a multiple of it. `aspect` and `gap` are those of
    `make_mosaic`.
    """
    map_height, map_width = (1, 1, *maps.shape[1:3])[-2:]
    # The side of the square that one tile and its space may fill.
    cell_side = width * math.sqrt(1 / (aspect * len(maps)))
    zoom = int((cell_side - 2 * gap) / math.sqrt(map_height * map_width))
    return max(map_height, map_width) * max(1, zoom)
