"""Pictures from strangers: converted rightly, or refused with a sentence, in bounded memory."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps, features

from core.data import open_picture, to_square
from core.data.picture import MAX_PICTURE_BYTES, PICTURE_FORMATS
from core.errors import UserError


def saved(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(side=(20, 12), bands=3, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (side[1], side[0], bands), np.uint8)
    return Image.fromarray(values.squeeze())


def png(width, height, depth=8, colour=2, rows=b"", more=()):
    """A PNG by hand, for what Pillow would not write."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)),
        *more,
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, data) for name, data in chunks)


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


EXACT = ["PNG", "BMP", "DIB", "TIFF", "PPM", "PCX", "SGI", "TGA"]
LOSSY = {
    "JPEG": {"quality": 95},
    "WEBP": {"quality": 95},
    "JPEG2000": {},
    "AVIF": {"quality": 95},
    "GIF": {},
}


@pytest.mark.parametrize("kind", EXACT)
def test_lossless_formats_come_back_exactly(kind):
    np.testing.assert_array_equal(
        np.asarray(open_picture(saved(noise(), kind))), np.asarray(noise())
    )


@pytest.mark.parametrize("kind", LOSSY)
def test_lossy_formats_come_back_nearly(kind):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    flat = Image.new("RGB", (40, 40), (200, 100, 50))
    found = np.asarray(open_picture(saved(flat, kind, **LOSSY[kind])), int)
    assert np.abs(found - (200, 100, 50)).max() <= 6


def test_the_list_of_formats_is_covered_and_starts_no_program():
    assert set(EXACT) | set(LOSSY) | {"QOI"} == set(PICTURE_FORMATS)
    assert not {"EPS", "WMF"} & set(PICTURE_FORMATS)
    with pytest.raises(UserError, match="not a picture"):
        open_picture(
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
        )


RED, GREEN = (255, 0, 0), (0, 255, 0)


def transparent_palette():
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *GREEN])
    image.putdata([0, 1])
    return saved(image, transparency=1)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (saved(Image.new("1", (1, 1), 1)), (255, 255, 255)),
        (saved(Image.new("L", (1, 1), 77)), (77, 77, 77)),
        (saved(Image.new("LA", (1, 1), (0, 0))), (255, 255, 255)),
        (saved(Image.new("RGBA", (1, 1), (*RED, 255))), RED),
        (saved(Image.new("RGBA", (1, 1), (*RED, 0))), (255, 255, 255)),
        (saved(Image.new("RGBA", (1, 1), (*RED, 51))), (255, 204, 204)),  # a fifth of red on white
        (transparent_palette(), (*RED, 255, 255, 255)),
        (saved(Image.new("P", (1, 1), 1)), None),
        (saved(Image.new("RGB", (1, 1), GREEN), transparency=GREEN), (255, 255, 255)),
        (
            saved(Image.fromarray(np.array([[0x1234, 0xFFFF]], np.uint16))),
            (0x12,) * 3 + (0xFF,) * 3,
        ),
        (png(1, 1, 16, 2, b"\0\x80\xff\x40\xff\x00\xff"), (0x80, 0x40, 0)),
        (png(1, 1, 16, 4, b"\0\x80\x00\xff\xff"), (0x80,) * 3),
        (saved(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG"), (255,) * 192),
        (saved(Image.new("CMYK", (1, 1), (0, 255, 255, 0)), "TIFF"), RED),
        (
            saved(Image.fromarray(np.array([[1.0, 3.0, 2.0]], np.float32)), "TIFF"),
            (0,) * 3 + (255,) * 3 + (127,) * 3,
        ),
        (saved(Image.fromarray(np.array([[7.0]], np.float32)), "TIFF"), (255,) * 3),
        (
            saved(Image.fromarray(np.array([[0, 65535, 2**20, -5]], np.int32)), "TIFF"),
            (0,) * 3 + (255,) * 6 + (0,) * 3,
        ),
        (
            saved(
                Image.new("RGB", (1, 1), RED),
                "GIF",
                save_all=True,
                append_images=[Image.new("RGB", (1, 1), GREEN)],
            ),
            RED,
        ),
        (
            saved(
                Image.new("RGB", (1, 1), RED),
                "PNG",
                save_all=True,
                append_images=[Image.new("RGB", (1, 1), GREEN)],
            ),
            RED,
        ),
        (
            saved(
                Image.new("RGB", (9, 9), RED),
                "WEBP",
                save_all=True,
                lossless=True,
                append_images=[Image.new("RGB", (9, 9), GREEN)],
            ),
            RED * 81,
        ),
        (
            saved(
                Image.new("RGB", (1, 1), RED),
                "TIFF",
                save_all=True,
                append_images=[Image.new("RGB", (1, 1), GREEN)],
            ),
            RED,
        ),
    ],
)
def test_every_mode_becomes_rgb(data, expected):
    picture = open_picture(data)
    assert picture.mode == "RGB"
    if expected:
        assert np.asarray(picture).ravel().tolist() == list(expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_picture_upright(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(noise(), exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(np.asarray(open_picture(data)), np.asarray(expected))
    assert (open_picture(data).size == (20, 12)) == (orientation <= 4)


def test_paths_files_and_bytes(tmp_path):
    data = saved(noise())
    (tmp_path / "a.txt").write_bytes(data)
    path = tmp_path / "a.txt"
    for source in (data, bytearray(data), memoryview(data), path, str(path), io.BytesIO(data)):
        assert open_picture(source).size == (20, 12)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"a shopping list, named list.png", "not a picture"),
        (saved(noise())[:8], "not a picture|damaged"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "not a picture|damaged"),
        (b"PK\x03\x04" + bytes(60), "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        (png(20_000, 20_000), "too large|megapixels"),
        (png(8_000, 8_000), "64 megapixels"),
        (png(2**31 - 1, 2**31 - 1), "too large|damaged|not a picture"),
        (png(0, 5), "not a picture|damaged"),
        (
            struct.pack("<6sHHBBB", b"GIF89a", 60_000, 60_000, 0, 0, 0)
            + b","
            + struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0)
            + b"\x02\x01\0\0;",
            "too large|megapixels",
        ),
        (b"P6 99999 99999 255 \0", "too large|megapixels"),
        (saved(Image.new("L", (5_100, 5_100)), "JPEG", progressive=True), "progressive JPEG"),
        (
            png(
                1,
                1,
                more=[(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**24), 9))],
                rows=b"\0" * 4,
            ),
            "damaged|too large",
        ),
    ],
)
def test_what_is_no_picture_is_refused_in_one_sentence(data, words):
    with pytest.raises(UserError, match=words) as caught:
        open_picture(data)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_too_large_a_file_is_refused_before_it_is_read_whole():
    class Endless:
        asked = 0

        def read(self, size):
            self.asked += size
            return bytes(size)

    source = Endless()
    with pytest.raises(UserError, match="too large"):
        open_picture(source)
    assert source.asked == MAX_PICTURE_BYTES + 1


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UserError, match=r"none\.png cannot be opened"):
        open_picture(tmp_path / "none.png")
    with pytest.raises(UserError, match="cannot be opened"):
        open_picture(tmp_path)


def test_a_tile_larger_than_the_picture_is_refused():
    def entry(tag, kind, value):
        return struct.pack("<HHII", tag, kind, 1, value)

    entries = [
        entry(256, 4, 1),
        entry(257, 4, 1),
        entry(258, 3, 8),
        entry(259, 3, 5),
        entry(262, 3, 1),
        entry(277, 3, 1),
        entry(322, 4, 30_000),
        entry(323, 4, 30_000),
        entry(324, 4, 8),
        entry(325, 4, 8),
    ]
    data = (
        b"II*\0"
        + struct.pack("<I", 8)
        + struct.pack("<H", len(entries))
        + b"".join(entries)
        + bytes(64)
    )
    with pytest.raises(UserError, match="900 megapixels"):
        open_picture(data)


@pytest.mark.parametrize("kind", [*EXACT, *LOSSY])
def test_a_truncated_picture_is_refused_or_read_but_never_a_surprise(kind):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    data, refused = saved(noise((64, 64)), kind, **LOSSY.get(kind, {})), 0
    for keep in np.linspace(1, len(data) - 1, 40).astype(int):
        try:
            assert open_picture(data[:keep]).size == (64, 64)
        except UserError:
            refused += 1
    assert refused > 20


@pytest.mark.filterwarnings("ignore")  # Pillow's, about forged tags
@pytest.mark.parametrize("kind", [*EXACT, *LOSSY])
def test_random_damage_is_never_a_traceback(kind):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    data, generator, errors = (
        saved(noise((24, 24)), kind, **LOSSY.get(kind, {})),
        np.random.default_rng(0),
        [],
    )
    for _ in range(120):
        forged = bytearray(data)
        for place in generator.integers(0, min(len(data), 300), 4):
            forged[place] = generator.integers(0, 256)
        try:
            assert open_picture(bytes(forged)).mode == "RGB"
        except UserError as error:
            errors.append(str(error))
    assert errors
    assert not any("\n" in error for error in errors)


def test_large_pictures_are_averaged_down():
    values = np.zeros((2200, 3000, 3), np.uint8)
    values[::2, :, 0], values[:, 1::2, 1], values[:1100, :, 2] = 200, 100, 255
    picture = open_picture(saved(Image.fromarray(values), compress_level=1))
    assert picture.size == (1500, 1100)
    found = np.asarray(picture)
    assert np.all(found[..., 0] == 100)
    assert np.all(found[..., 1] == 50)
    assert np.all(found[:550, :, 2] == 255)
    assert not found[550:, :, 2].any()


def test_reduced_sizes_are_rounded_up_and_thin_pictures_keep_a_pixel():
    assert open_picture(saved(Image.new("L", (2001, 2101))), shorter=100).size == (201, 211)
    assert open_picture(saved(Image.new("L", (5_000_000, 1)))).size == (2_500_000, 1)


def test_a_picture_with_a_very_long_side_is_refused():
    assert open_picture(saved(Image.new("L", (1, 1_000_000)))).size == (1, 1_000_000)
    for size, words in (((1, 1_000_001), "1 x 1,000,001"), ((5_000_001, 1), "5,000,001 x 1")):
        with pytest.raises(UserError, match=words):
            open_picture(saved(Image.new("L", size)))


def test_transparency_is_laid_on_white_before_averaging():
    values = np.zeros((2100, 2100, 4), np.uint8)
    values[::2, :, 3] = 255  # black and transparent rows
    found = np.asarray(open_picture(saved(Image.fromarray(values), compress_level=1)))
    assert np.abs(found.astype(int) - 127.5).max() <= 0.5


def test_to_square_is_resizing_the_shorter_side_and_cropping():
    picture = noise((128, 64))
    expected = np.asarray(picture.resize((32, 16), Image.Resampling.BILINEAR))[:, 8:24]
    np.testing.assert_array_equal(to_square(picture, 16), expected.transpose(2, 0, 1))
    np.testing.assert_array_equal(
        to_square(picture.transpose(Image.Transpose.TRANSPOSE), 16), expected.transpose(2, 1, 0)
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (7, 9), (16, 16)])
def test_to_square_takes_any_size(size):
    square = to_square(Image.new("RGB", size, RED), 16)
    assert square.shape == (3, 16, 16)
    assert square.flags.c_contiguous
    assert (square[0] == 255).all()
    assert not square[1:].any()


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads the peak of memory from /proc"
)
@pytest.mark.parametrize(("colour", "bands"), [(2, 3), (6, 4)], ids=["RGB", "RGBA"])
def test_the_largest_pictures_stay_within_300_mb(tmp_path, colour, bands):
    packer = zlib.compressobj(1)
    rows = b"".join(
        [*(packer.compress(bytes(1 + 7000 * bands)) for _ in range(7000)), packer.flush()]
    )
    data = png(7000, 7000, colour=colour)
    (tmp_path / "a.png").write_bytes(
        data[: data.index(b"IDAT") - 4] + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )
    code = (
        "import sys\nfrom core.data import open_picture\ndef peak():\n    return int(next(l for l"
        " in open('/proc/self/status') if 'VmHWM' in l).split()[1]) / 1024\nbefore = peak()\nsize ="
        " open_picture(sys.argv[1]).size\nprint(*size, peak() - before)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.png")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert answer[:2] == ["1750", "1750"]
    assert float(answer[2]) < 300
