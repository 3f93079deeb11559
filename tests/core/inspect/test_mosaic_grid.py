"""The places of the tiles in a mosaic."""

import numpy as np
import pytest

from core.inspect.mosaic_grid import MosaicGrid


def test_points_outside_the_picture_are_on_no_channel():
    grid = MosaicGrid(order=np.arange(6), columns=3, height=2, width=2, zoom=1, gap=1)
    assert (grid.rows, grid.channel_at(1, 1), grid.channel_at(9, 5)) == (2, 0, 5)
    for x, y in ((-3, 1), (1, -3), (13, 1), (1, 9), (-0.5, -0.5), (1e6, 1e6)):
        assert grid.channel_at(x, y) is None
    with pytest.raises(KeyError):
        grid.box(6)


def test_a_point_is_found_by_hand():
    grid = MosaicGrid(order=np.array([4, 2, 9]), columns=2, height=10, width=20, zoom=1, gap=1)
    assert [
        grid.channel_at(x, y)
        for x, y in ((1, 1), (20.9, 10.9), (21, 5), (23, 1), (1, 13), (23, 13))
    ] == [4, 4, None, 2, 9, None]
    assert grid.box(9) == (1, 13, 21, 23)
