"""Draws a map of values over the picture that it belongs to. Nothing here needs torch."""

import io

import numpy as np
from PIL import Image

from core.inspect.colour_scale import ColourScale

_OPACITY = 0.6  # of the colours over the picture, the same for all values
_LUMINANCE = np.array([0.299, 0.587, 0.114])  # of red, green and blue (ITU-R BT.601)


def overlay_map(picture: np.ndarray, values: np.ndarray, scale: ColourScale) -> np.ndarray:
    """Return the colours of the values over the picture in grey, as (H, W, 3) uint8.

    picture: uint8 (3, H, W). values: (H, W).
    """
    grey = np.einsum("chw,c->hw", picture, _LUMINANCE)[..., None]
    colours = scale.palette[scale.levels(values)]
    return np.rint((1 - _OPACITY) * grey + _OPACITY * colours).astype(np.uint8)


def enlarged_png(pixels: np.ndarray, side: int) -> bytes:
    """Return (H, W, 3) uint8 as a PNG file.

    Each pixel becomes a square, so that the longer side has at least `side` pixels.
    """
    zoom = max(1, -(-side // max(pixels.shape[:2])))
    file = io.BytesIO()
    Image.fromarray(pixels.repeat(zoom, 0).repeat(zoom, 1)).save(file, "PNG", compress_level=1)
    return file.getvalue()
