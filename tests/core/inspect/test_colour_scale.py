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
