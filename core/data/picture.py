"""One picture of unknown origin -> RGB, in bounded memory, or a sentence why not."""

import io
import math
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from core.errors import UserError

# Every format is a decoder that strangers can feed. EPS and WMF are left out because they start other programs.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "AVIF", "JPEG2000", "QOI", "PCX", "SGI",
           "TGA")  # JPEG includes the MPO of some cameras
MAX_BYTES = 64 * 2**20
DECODING_BYTES = 200_000_000
# Bytes for a pixel while Pillow decodes, as measured on Pillow 13; four, its way to keep RGB, where not named.
BYTES_PER_PIXEL = {"WEBP": 16, "JPEG2000": 20, "AVIF": 12, "QOI": 7, "SGI": 6, "progressive JPEG": 8}
WORKING_PIXELS = 4_000_000  # larger pictures are reduced by a whole factor
ORIENTATION, TILE_WIDTH, TILE_LENGTH = 0x0112, 322, 323
UPRIGHT = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
           5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
           8: Image.Transpose.ROTATE_90}

warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


def open_picture(source: bytes | str | Path | BinaryIO, shorter: int = 1024) -> Image.Image:
    """The picture in `source` (bytes, a path or a seekable binary file) as upright RGB.

    The first frame of an animation; 16 bit becomes 8 by dropping the low byte, floating point by stretching its range;
    transparency is laid on white; CMYK and palettes are converted. Pictures of more than 4 megapixels, or whose
    shorter side is more than twice `shorter`, come reduced by a whole factor. At most 50 megapixels, fewer in formats
    whose decoders need more memory, and 64 MB: decoding takes less than 300 MB. Raises UserError.
    """
    try:
        file = _bounded(source)
        with Image.open(file, formats=FORMATS) as image:
            _refuse_if_huge(image)
            image.draft(None, (shorter, shorter))  # a JPEG can be decoded at a fraction of its size
            image.load()
            return _upright(_reduced_rgb(image, shorter), image)
    except UserError:
        raise
    except Image.UnidentifiedImageError as error:
        raise UserError("This is not a picture of a known format (PNG, JPEG, WebP, GIF, BMP, TIFF ...).") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise UserError("This picture is too large to be decoded.") from error
    except Exception as error:  # decoders raise anything at all on damaged or forged bytes
        why = " ".join(str(error).split())[:100] or type(error).__name__
        raise UserError(f"This picture is damaged ({why}).") from error


def to_square(picture: Image.Image, side: int) -> np.ndarray:
    """The centre of an RGB picture as uint8 (3, side, side).

    The same as resizing the shorter side to `side` (bilinear, antialiased) and cropping the centre, in one step that
    never makes the larger picture.
    """
    width, height = picture.size
    edge = min(width, height)
    left, top = (width - edge) / 2, (height - edge) / 2
    square = picture.resize((side, side), Image.Resampling.BILINEAR, box=(left, top, left + edge, top + edge))
    return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))


def _bounded(source: bytes | str | Path | BinaryIO) -> BinaryIO:
    """`source` as a file in memory, with a limit on its size."""
    if isinstance(source, str | Path):
        try:
            with Path(source).open("rb") as file:
                return _bounded(file)
        except OSError as error:
            raise UserError(f"{source} cannot be opened ({error.strerror}).") from error
    data = bytes(source) if isinstance(source, bytes | bytearray | memoryview) else source.read(MAX_BYTES + 1)
    if not data:
        raise UserError("This file is empty.")
    if len(data) > MAX_BYTES:
        raise UserError(f"This file is too large: pictures may have up to {MAX_BYTES // 2**20} MB.")
    return io.BytesIO(data)


def _refuse_if_huge(image: Image.Image) -> None:
    kind = "progressive JPEG" if image.info.get("progressive") else image.format
    limit = DECODING_BYTES // BYTES_PER_PIXEL.get(kind, 4)
    pixels = math.prod(image.size)
    if image.format == "TIFF":  # a tile is decoded whole, and may be larger than the picture
        pixels = max(pixels, image.tag_v2.get(TILE_WIDTH, 1) * image.tag_v2.get(TILE_LENGTH, 1))
    if pixels > limit:
        raise UserError(f"This picture has {pixels / 1e6:,.0f} megapixels: {kind} pictures may have up to "
                        f"{limit / 1e6:g}.")


def _reduced_rgb(image: Image.Image, shorter: int) -> Image.Image:
    """RGB, averaged over squares of a whole number of pixels: strip by strip, so that only the result is a copy."""
    width, height = image.size
    factor = max(1, min(image.size) // (2 * shorter), math.ceil(math.sqrt(width * height / WORKING_PIXELS)))
    spread = _spread(image)
    if factor == 1:
        return _rgb(image, spread)
    result = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    rows = factor * max(1, 2**20 // (width * factor))
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        result.paste(_rgb(strip, spread).reduce(factor), (0, top // factor))
    return result


def _spread(image: Image.Image) -> tuple[float, float]:
    """The range of values that becomes 0 to 255, for the modes that have no fixed one."""
    if image.mode == "F":
        low, high = image.getextrema()
        return (low, high) if math.isfinite(low) and math.isfinite(high) and high > low else (0.0, 1.0)
    return 0.0, 65535.0


def _rgb(image: Image.Image, spread: tuple[float, float]) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        low, high = spread
        values = (np.asarray(image, np.float32) - low) * (255 / (high - low))
        return Image.fromarray(np.clip(np.nan_to_num(values), 0, 255).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    colours = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, colours).convert("RGB")


def _upright(result: Image.Image, original: Image.Image) -> Image.Image:
    turn = UPRIGHT.get(original.getexif().get(ORIENTATION))
    return result.transpose(turn) if turn is not None else result
