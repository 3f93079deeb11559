"""Decode a picture of unknown origin to RGB within a limited amount of memory."""

import io
import math
import warnings
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from core.data.imageset import Pixels
from core.errors import UserError


class ReadableFile(Protocol):
    """An open binary file: all that `open_picture` uses of it."""

    def read(self, size: int, /) -> bytes: ...


# Strangers can feed the decoder of every format in this list. EPS and WMF are left out because
# their decoders start other programs. JPEG includes the MPO files of some cameras.
PICTURE_FORMATS = (
    "PNG", "JPEG", "WEBP", "GIF", "BMP", "DIB", "TIFF",
    "PPM", "AVIF", "JPEG2000", "QOI", "PCX", "SGI", "TGA",
)  # fmt: skip
MAX_PICTURE_BYTES = 64 * 2**20
# Pillow needs some bytes for every row beside those of its pixels, and several copies of a row.
_WIDEST = 5_000_000
_HIGHEST = 1_000_000
_DECODING_BYTES = 200_000_000
# Bytes per pixel while Pillow 13 decodes, measured. All other formats take four: the size of one
# pixel in memory.
_BYTES_PER_PIXEL = {
    "WEBP": 16,
    "JPEG2000": 20,
    "AVIF": 12,
    "QOI": 7,
    "SGI": 6,
    "progressive JPEG": 8,
}
# Larger pictures are reduced by a whole factor.
_WORKING_PIXELS = 4_000_000
_ORIENTATION_TAG = 0x0112
_TILE_WIDTH_TAG = 322
_TILE_LENGTH_TAG = 323
# The turn that makes a picture upright, by the value of its EXIF orientation tag.
_UPRIGHT_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
PictureSource = bytes | bytearray | memoryview | str | Path | ReadableFile

warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


def open_picture(source: PictureSource, shorter: int = 1024) -> Image.Image:
    """Return the picture in `source` (bytes, a path or an open binary file) as upright RGB.

    An animation gives its first frame. Transparency becomes white. 16-bit values lose their low
    byte, and floating-point values are stretched to the range from 0 to 255.

    A picture of more than 4 megapixels, or whose shorter side is more than twice `shorter` pixels,
    is reduced by a whole factor. A picture may have up to 64 MB and 50 megapixels, fewer in formats
    whose decoders need more memory, so that decoding takes less than 300 MB. Raises UserError, in
    one sentence, for anything else.
    """
    try:
        file = _read_within_limit(source)
        with Image.open(file, formats=PICTURE_FORMATS) as image:
            _refuse_if_huge(image)
            # A JPEG can be decoded at a fraction of its size.
            image.draft(None, (shorter, shorter))
            image.load()
            return _turn_upright(_reduced_rgb(image, shorter), image)
    except UserError:
        raise
    except UnidentifiedImageError as error:
        raise UserError(
            "This is not a picture of a known format (PNG, JPEG, WebP, GIF, BMP, TIFF ...)."
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise UserError("This picture is too large to be decoded.") from error
    # Decoders may raise anything for damaged or forged bytes.
    except Exception as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise UserError(f"This picture is damaged ({reason}).") from error


def to_square(picture: Image.Image, side: int) -> Pixels:
    """Return the centre of an RGB picture as uint8 (3, side, side).

    The result is that of resizing the shorter side to `side` (bilinear, antialiased) and cropping
    the centre, but the resized picture is never made as a whole.
    """
    width, height = picture.size
    edge = min(width, height)
    left = (width - edge) / 2
    top = (height - edge) / 2
    box = (left, top, left + edge, top + edge)
    square = picture.resize((side, side), Image.Resampling.BILINEAR, box=box)
    return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))


def _read_within_limit(source: PictureSource) -> io.BytesIO:
    """Return `source` as a file in memory. Raises UserError if it is empty or too large."""
    if isinstance(source, str | Path):
        try:
            with Path(source).open("rb") as file:
                return _read_within_limit(file)
        except OSError as error:
            raise UserError(f"{source} cannot be opened ({error.strerror}).") from error
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
    else:
        data = source.read(MAX_PICTURE_BYTES + 1)
    if not data:
        raise UserError("This file is empty.")
    if len(data) > MAX_PICTURE_BYTES:
        megabytes = MAX_PICTURE_BYTES // 2**20
        raise UserError(f"This file is too large: pictures may have up to {megabytes} MB.")
    return io.BytesIO(data)


def _refuse_if_huge(image: Image.Image) -> None:
    """Raise UserError if decoding the picture would take too much memory."""
    kind = "progressive JPEG" if image.info.get("progressive") else str(image.format)
    limit = _DECODING_BYTES // _BYTES_PER_PIXEL.get(kind, 4)
    pixels = math.prod(image.size)
    if image.width > _WIDEST or image.height > _HIGHEST:
        raise UserError(
            f"This picture has {image.width:,} x {image.height:,} pixels: it may have up to"
            f" {_WIDEST:,} x {_HIGHEST:,}."
        )
    if isinstance(image, TiffImageFile):
        # A tile is decoded as a whole, and may be larger than the picture.
        tile_width = image.tag_v2.get(_TILE_WIDTH_TAG, 1)
        tile_length = image.tag_v2.get(_TILE_LENGTH_TAG, 1)
        pixels = max(pixels, tile_width * tile_length)
    if pixels > limit:
        raise UserError(
            f"This picture has {pixels / 1e6:,.0f} megapixels: {kind} pictures may have up to "
            f"{limit / 1e6:g}."
        )


def _reduced_rgb(image: Image.Image, shorter: int) -> Image.Image:
    """Return the picture as RGB, averaged over squares of a whole number of pixels.

    A large picture is reduced strip by strip, so that no second copy of its size is made.
    """
    width, height = image.size
    factor_by_side = min(width, height) // (2 * shorter)
    factor_by_pixels = math.ceil(math.sqrt(width * height / _WORKING_PIXELS))
    factor = max(1, factor_by_side, factor_by_pixels)
    value_range = _value_range(image)
    if factor == 1:
        return _to_rgb(image, value_range)
    reduced_size = (math.ceil(width / factor), math.ceil(height / factor))
    result = Image.new("RGB", reduced_size)
    strip_height = factor * max(1, 2**20 // (width * factor))
    for top in range(0, height, strip_height):
        bottom = min(top + strip_height, height)
        strip = image.crop((0, top, width, bottom))
        result.paste(_to_rgb(strip, value_range).reduce(factor), (0, top // factor))
    return result


def _value_range(image: Image.Image) -> tuple[float, float]:
    """Return the values that become 0 and 255. Used in modes whose range is not fixed."""
    if image.mode != "F":
        return 0.0, 65535.0
    low, high = np.asarray(image.getextrema(), np.float64).tolist()
    if math.isfinite(low) and math.isfinite(high) and high > low:
        return low, high
    return 0.0, 1.0


def _to_rgb(image: Image.Image, value_range: tuple[float, float]) -> Image.Image:
    if image.mode.startswith("I;16"):
        high_bytes = (np.asarray(image) >> 8).astype(np.uint8)
        return Image.fromarray(high_bytes).convert("RGB")
    if image.mode in ("I", "F"):
        low, high = value_range
        values = (np.asarray(image, np.float32) - low) * (255 / (high - low))
        greys = np.clip(np.nan_to_num(values), 0, 255).astype(np.uint8)
        return Image.fromarray(greys).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def _turn_upright(picture: Image.Image, original: Image.Image) -> Image.Image:
    """Turn the picture as the EXIF tag of the original says."""
    turn = _UPRIGHT_TURNS.get(original.getexif().get(_ORIENTATION_TAG, 1))
    return picture if turn is None else picture.transpose(turn)
