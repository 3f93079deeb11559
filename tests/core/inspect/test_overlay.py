"""A map of values over its picture."""

import io

import numpy as np
from PIL import Image

from core.inspect.colour_scale import ColourScale
from core.inspect.overlay import enlarged_png, overlay_map

SCALE = ColourScale(0.0, 1.0, "viridis")


def test_the_colours_are_mixed_with_the_picture_in_grey():
    picture = np.zeros((3, 1, 2), np.uint8)
    picture[:, 0, 1] = 255
    pixels = overlay_map(picture, np.array([[1.0, 1.0]]), SCALE)
    yellow = SCALE.palette[SCALE.levels(np.array(1.0))].astype(float)
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels[0, 0], np.rint(0.6 * yellow))
    assert np.array_equal(pixels[0, 1], np.rint(0.4 * 255 + 0.6 * yellow))


def test_a_green_pixel_is_lighter_than_a_blue_one():
    picture = np.zeros((3, 1, 2), np.uint8)
    picture[1, 0, 0] = 255
    picture[2, 0, 1] = 255
    green, blue = overlay_map(picture, np.zeros((1, 2)), SCALE)[0].astype(int)
    assert (green - blue > 0).all()


def test_a_nan_is_grey():
    picture = np.zeros((3, 1, 1), np.uint8)
    assert overlay_map(picture, np.array([[np.nan]]), SCALE)[0, 0].tolist() == [77, 77, 77]


def test_each_pixel_of_a_small_picture_becomes_a_square():
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    image = np.asarray(Image.open(io.BytesIO(enlarged_png(pixels, 7))))
    assert image.shape == (6, 9, 3)
    assert (image[:3, :3] == pixels[0, 0]).all()
    assert Image.open(io.BytesIO(enlarged_png(pixels, 2))).size == (3, 2)
