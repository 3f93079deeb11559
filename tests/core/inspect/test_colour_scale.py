"""Colour scales: their ends, the levels of values, and the palette."""

import numpy as np
import pytest

from core.inspect.colour_scale import ColourScale


def test_scales_cover_all_arrays_and_ignore_what_is_no_number():
    first, second = np.array([0.0, 2.0, np.nan]), np.array([-3.0, 1.0, np.inf])
    assert ColourScale.sequential(first) == ColourScale(0, 2, "viridis")
    assert ColourScale.sequential(first, second) == ColourScale(-3, 2, "viridis")
    assert ColourScale.sequential(np.array([1.0, 5.0])).low == 0
    assert ColourScale.sequential(np.zeros(3)) == ColourScale(0, 1, "viridis")
    assert ColourScale.diverging(first, second) == ColourScale(-3, 3, "RdBu_r")
    assert ColourScale.diverging(np.zeros(3)) == ColourScale(-1, 1, "RdBu_r")


def test_values_become_levels():
    scale = ColourScale(-2, 2, "RdBu_r")
    values = np.array([-9, -2, -1e-3, 0, 1, 2, 9, np.inf, -np.inf, np.nan], np.float32)
    assert scale.levels(values).tolist() == [0, 0, 126, 126, 189, 252, 252, 252, 0, 255]


@pytest.mark.parametrize("end", [1e-30, 0.3, 7.7, 1e30])
def test_zero_is_the_middle_of_every_diverging_scale(end):
    assert ColourScale.diverging(np.array([end, -end / 3], np.float32)).levels(
        np.zeros(1)
    ).tolist() == [126]


def test_the_palette_is_the_colormap_and_three_more():
    palette = ColourScale(0, 1, "viridis").palette
    assert (palette.shape, palette.dtype) == ((256, 3), np.uint8)
    assert palette[[0, 252]].tolist() == [[68, 1, 84], [253, 231, 36]]
    assert (
        len(
            {tuple(colour) for colour in palette[253:]}
            | {tuple(colour) for colour in palette[:253]}
        )
        > 250
    )
    red, green, blue = ColourScale(-1, 1, "RdBu_r").palette[126].astype(int)
    assert min(red, green, blue) > 240


def test_a_diverging_scale_has_a_dark_centre_on_a_dark_page_and_the_same_levels():
    scale = ColourScale.diverging(np.array([-1.0, 1.0]))
    dark = scale.in_theme(dark=True)
    assert scale.in_theme(dark=False) == scale
    assert (dark.low, dark.high) == (scale.low, scale.high)
    assert scale.palette[126].min() > 240
    assert dark.palette[126].max() < 40
    for palette in (scale.palette.astype(int), dark.palette.astype(int)):
        assert palette[20, 2] > palette[20, 0]  # blue is less
        assert palette[232, 0] > palette[232, 2]  # red is more


def test_a_sequential_scale_is_the_same_on_every_page():
    scale = ColourScale.sequential(np.array([0.0, 1.0]))
    assert scale.in_theme(dark=True) == scale
