"""Mosaics: every channel where the grid says, every value in its colour, and files that hold the same picture."""

import io

import numpy as np
import pytest
from PIL import Image

from core.inspect.mosaic import Grid, Scale, block_means, mosaic, strongest


def numbered(count, *shape):
    """Maps that are filled with their channel's number."""
    return np.arange(count, dtype=np.float32).reshape(-1, *[1] * len(shape)) * np.ones(shape, np.float32)


@pytest.mark.parametrize("count", [1, 2, 7, 17, 64, 512])
@pytest.mark.parametrize("shape", [(), (5,), (1, 1), (3, 3), (4, 7), (32, 32)])
def test_every_channel_is_where_the_grid_says(count, shape):
    order = np.random.default_rng(0).permutation(count)
    for layout in ({}, {"order": order, "gap": 2, "tile": 7}, {"order": order[:3], "columns": 2, "gap": 0}):
        maps = numbered(count, *shape)
        shown = mosaic(maps, Scale(0, count, "viridis"), **layout)
        covered = np.zeros_like(shown.pixels, dtype=bool)
        for channel in shown.grid.order:
            left, top, right, bottom = shown.grid.box(channel)
            tile = shown.pixels[top:bottom, left:right]
            assert tile.size == (right - left) * (bottom - top) > 0
            assert (tile == np.rint(channel / count * 252)).all()
            for x, y in ((left, top), (right - 1, bottom - 1), (right - 0.01, (top + bottom) / 2)):
                assert shown.grid.channel_at(x, y) == channel
            covered[top:bottom, left:right] = True
        assert (shown.pixels[~covered] == 253).all()
        for y, x in np.argwhere(~covered)[::50]:
            assert shown.grid.channel_at(x, y) is None
        assert (len(shown.grid.order), shown.grid.gap) == (len(layout.get("order", order)), layout.get("gap", 1))


def test_points_outside_the_picture_are_on_no_channel():
    grid = mosaic(numbered(6, 2, 2), Scale(0, 6, "viridis"), columns=3, tile=2).grid
    assert (grid.rows, grid.channel_at(1, 1), grid.channel_at(9, 5)) == (2, 0, 5)
    for x, y in ((-3, 1), (1, -3), (13, 1), (1, 9), (-0.5, -0.5), (1e6, 1e6)):
        assert grid.channel_at(x, y) is None
    with pytest.raises(KeyError):
        grid.box(6)


def test_a_point_is_found_by_hand():
    grid = Grid(order=np.array([4, 2, 9]), columns=2, height=10, width=20, zoom=1, gap=1)
    assert [grid.channel_at(x, y) for x, y in ((1, 1), (20.9, 10.9), (21, 5), (23, 1), (1, 13), (23, 13))] == [
        4, 4, None, 2, 9, None]
    assert grid.box(9) == (1, 13, 21, 23)


def test_a_map_is_enlarged_as_it_is():
    shown = mosaic(np.array([[[0.0, 1.0], [2.0, 4.0]]]), Scale(0, 4, "viridis"), gap=0, tile=4)
    assert shown.pixels.tolist() == [[0, 0, 63, 63], [0, 0, 63, 63], [126, 126, 252, 252], [126, 126, 252, 252]]
    assert mosaic(numbered(1, 40, 9), Scale(0, 1, "viridis")).grid.zoom == 1
    assert mosaic(numbered(1, 5, 5), Scale(0, 1, "viridis"), tile=24).grid.zoom == 5


def test_marked_channels_have_a_frame_and_the_others_none():
    shown = mosaic(numbered(4, 2, 2), Scale(0, 4, "viridis"), order=[3, 0, 2, 1], columns=2, tile=2,
                   marked=np.array([False, True, False, True]))
    assert (shown.pixels == 254).tolist() == [
        [True, True, True, True] + [False] * 4, [True, False, False, True] + [False] * 4,
        [True, False, False, True] + [False] * 4, [True, True, True, True] + [False] * 4,
        [False] * 4 + [True, True, True, True], [False] * 4 + [True, False, False, True],
        [False] * 4 + [True, False, False, True], [False] * 4 + [True, True, True, True]]


@pytest.mark.parametrize(("count", "columns"), [
    (1, 1), (3, 3), (10, 5), (64, 8), (128, 16), (512, 32), (2048, 64), (17, 5)])
def test_rows_are_complete_where_that_is_possible(count, columns):
    assert mosaic(numbered(count, 3, 3), Scale(0, 1, "viridis")).grid.columns == columns


def test_strips_are_stacked():
    assert mosaic(numbered(6, 200), Scale(0, 1, "viridis")).grid.columns == 1


def test_scales_cover_all_arrays_and_ignore_what_is_no_number():
    first, second = np.array([0.0, 2.0, np.nan]), np.array([-3.0, 1.0, np.inf])
    assert Scale.sequential(first) == Scale(0, 2, "viridis")
    assert Scale.sequential(first, second) == Scale(-3, 2, "viridis")
    assert Scale.sequential(np.array([1.0, 5.0])).low == 0
    assert Scale.sequential(np.zeros(3)) == Scale(0, 1, "viridis")
    assert Scale.diverging(first, second) == Scale(-3, 3, "RdBu_r")
    assert Scale.diverging(np.zeros(3)) == Scale(-1, 1, "RdBu_r")


def test_values_become_levels():
    scale = Scale(-2, 2, "RdBu_r")
    values = np.array([-9, -2, -1e-3, 0, 1, 2, 9, np.inf, -np.inf, np.nan], np.float32)
    assert scale.levels(values).tolist() == [0, 0, 126, 126, 189, 252, 252, 252, 0, 255]


@pytest.mark.parametrize("end", [1e-30, 0.3, 7.7, 1e30])
def test_zero_is_the_middle_of_every_diverging_scale(end):
    assert Scale.diverging(np.array([end, -end / 3], np.float32)).levels(np.zeros(1)).tolist() == [126]


def test_the_palette_is_the_colormap_and_three_more():
    palette = Scale(0, 1, "viridis").palette
    assert (palette.shape, palette.dtype) == ((256, 3), np.uint8)
    assert palette[[0, 252]].tolist() == [[68, 1, 84], [253, 231, 36]]
    assert len({tuple(colour) for colour in palette[253:]} | {tuple(colour) for colour in palette[:253]}) > 250
    red, green, blue = Scale(-1, 1, "RdBu_r").palette[126].astype(int)
    assert min(red, green, blue) > 240


def test_the_file_holds_the_picture():
    maps = np.random.default_rng(1).normal(size=(10, 4, 4)).astype(np.float32)
    shown = mosaic(maps, Scale.diverging(maps), marked=np.arange(10) == 3)
    image = Image.open(io.BytesIO(shown.png()))
    assert (image.format, image.mode) == ("PNG", "P")
    assert (np.asarray(image) == shown.pixels).all()
    assert (np.asarray(image.convert("RGB")) == shown.rgb).all()
    assert ((np.asarray(image.convert("RGBA"))[..., 3] == 0) == (shown.pixels == 253)).all()


def test_kernels_in_colour():
    maps = np.array([[[[-1.0, 0.0, 1.0]]]], np.float32)
    shown = mosaic(maps, Scale(-1, 1, "RdBu_r"), tile=1)
    assert shown.pixels.shape == (3, 3, 4)
    assert shown.pixels[1, 1].tolist() == [0, 128, 255, 255]
    assert shown.rgb[0, 0].tolist() == [255, 255, 255]
    image = np.asarray(Image.open(io.BytesIO(shown.png())))
    assert (image == shown.pixels).all()


def test_the_strongest_come_first_and_equals_keep_their_order():
    assert strongest(np.array([1.0, 3.0, np.nan, 3.0, 0.0])).tolist() == [1, 3, 0, 4, 2]


def test_block_means_by_hand():
    matrix = np.array([[1, 3, 5, 7, 9], [3, 5, 7, 9, 11], [10, 20, 30, 40, 50]], np.float32)
    reduced, steps = block_means(matrix, 3)
    assert (reduced.tolist(), steps) == ([[2, 6, 9], [4, 8, 11], [15, 35, 50]], (1, 2))
    reduced, steps = block_means(matrix, 2)
    assert (reduced.tolist(), steps) == ([[(1 + 3 + 5 + 3 + 5 + 7) / 6, (7 + 9 + 9 + 11) / 4], [20, 45]], (2, 3))
    assert block_means(matrix, 5)[0] is matrix


def test_block_means_weigh_every_value_once():
    matrix = np.random.default_rng(2).random((12, 30)).astype(np.float32)
    reduced, steps = block_means(matrix, 6)
    assert (reduced.shape, steps) == ((6, 6), (2, 5))
    assert np.allclose(reduced, matrix.reshape(6, 2, 6, 5).mean((1, 3)), atol=1e-6)


def test_the_colour_between_the_tiles_of_a_file():
    maps = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    for shown in (mosaic(maps, Scale.diverging(maps)), mosaic(np.stack([maps] * 3, -1), Scale.diverging(maps))):
        plain, lined = (np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))
                        for png in (shown.png(), shown.png((9, 8, 7, 96))))
        assert (plain[shown.space][:, 3] == 0).all()
        assert (lined[shown.space] == (9, 8, 7, 96)).all()
        assert (plain[~shown.space] == lined[~shown.space]).all()
        assert shown.space.sum() == shown.pixels.shape[0] * shown.pixels.shape[1] - 2 * 24 * 24
