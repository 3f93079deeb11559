"""Mosaics: every channel where the grid says, and files that hold the same picture."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.inspect.colour_scale import ColourScale
from core.inspect.mosaic import make_mosaic


def numbered(count, *shape):
    """Maps that are filled with their channel's number."""
    return np.arange(count, dtype=np.float32).reshape(-1, *[1] * len(shape)) * np.ones(
        shape, np.float32
    )


@pytest.mark.parametrize("count", [1, 2, 7, 17, 64, 512])
@pytest.mark.parametrize("shape", [(), (5,), (1, 1), (3, 3), (4, 7), (32, 32)])
def test_every_channel_is_where_the_grid_says(count, shape):
    order = np.random.default_rng(0).permutation(count)
    layouts: list[dict[str, Any]] = [
        {},
        {"order": order, "gap": 2, "tile": 7},
        {"order": order[:3], "columns": 2, "gap": 0},
    ]
    for layout in layouts:
        maps = numbered(count, *shape)
        shown = make_mosaic(maps, ColourScale(0, count, "viridis"), **layout)
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
        assert (len(shown.grid.order), shown.grid.gap) == (
            len(layout.get("order", order)),
            layout.get("gap", 1),
        )


def test_a_map_is_enlarged_as_it_is():
    shown = make_mosaic(
        np.array([[[0.0, 1.0], [2.0, 4.0]]]), ColourScale(0, 4, "viridis"), gap=0, tile=4
    )
    assert shown.pixels.tolist() == [
        [0, 0, 63, 63],
        [0, 0, 63, 63],
        [126, 126, 252, 252],
        [126, 126, 252, 252],
    ]
    assert make_mosaic(numbered(1, 40, 9), ColourScale(0, 1, "viridis")).grid.zoom == 1
    assert make_mosaic(numbered(1, 5, 5), ColourScale(0, 1, "viridis"), tile=24).grid.zoom == 5


def test_marked_channels_have_a_frame_and_the_others_none():
    shown = make_mosaic(
        numbered(4, 2, 2),
        ColourScale(0, 4, "viridis"),
        order=[3, 0, 2, 1],
        columns=2,
        tile=2,
        marked=np.array([False, True, False, True]),
    )
    assert (shown.pixels == 254).tolist() == [
        [True, True, True, True] + [False] * 4,
        [True, False, False, True] + [False] * 4,
        [True, False, False, True] + [False] * 4,
        [True, True, True, True] + [False] * 4,
        [False] * 4 + [True, True, True, True],
        [False] * 4 + [True, False, False, True],
        [False] * 4 + [True, False, False, True],
        [False] * 4 + [True, True, True, True],
    ]


@pytest.mark.parametrize(
    ("count", "columns"),
    [(1, 1), (3, 3), (10, 5), (64, 8), (128, 16), (512, 32), (2048, 64), (17, 5)],
)
def test_rows_are_complete_where_that_is_possible(count, columns):
    assert make_mosaic(numbered(count, 3, 3), ColourScale(0, 1, "viridis")).grid.columns == columns


def test_strips_are_stacked():
    assert make_mosaic(numbered(6, 200), ColourScale(0, 1, "viridis")).grid.columns == 1


def test_the_file_holds_the_picture():
    maps = np.random.default_rng(1).normal(size=(10, 4, 4)).astype(np.float32)
    shown = make_mosaic(maps, ColourScale.diverging(maps), marked=np.arange(10) == 3)
    image = Image.open(io.BytesIO(shown.png()))
    assert (image.format, image.mode) == ("PNG", "P")
    assert (np.asarray(image) == shown.pixels).all()
    assert (np.asarray(image.convert("RGB")) == shown.rgb).all()
    assert ((np.asarray(image.convert("RGBA"))[..., 3] == 0) == (shown.pixels == 253)).all()


def test_kernels_in_colour():
    maps = np.array([[[[-1.0, 0.0, 1.0]]]], np.float32)
    shown = make_mosaic(maps, ColourScale(-1, 1, "RdBu_r"), tile=1)
    assert shown.pixels.shape == (3, 3, 4)
    assert shown.pixels[1, 1].tolist() == [0, 128, 255, 255]
    assert shown.rgb[0, 0].tolist() == [255, 255, 255]
    image = np.asarray(Image.open(io.BytesIO(shown.png())))
    assert (image == shown.pixels).all()


def test_the_colour_between_the_tiles_of_a_file():
    maps = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    for shown in (
        make_mosaic(maps, ColourScale.diverging(maps)),
        make_mosaic(np.stack([maps] * 3, -1), ColourScale.diverging(maps)),
    ):
        plain, lined = (
            np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))
            for png in (shown.png(), shown.png((9, 8, 7, 96)))
        )
        assert (plain[shown.space][:, 3] == 0).all()
        assert (lined[shown.space] == (9, 8, 7, 96)).all()
        assert (plain[~shown.space] == lined[~shown.space]).all()
        assert shown.space.sum() == shown.pixels.shape[0] * shown.pixels.shape[1] - 2 * 24 * 24
