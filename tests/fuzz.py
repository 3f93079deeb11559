"""Feeds damaged and hostile files to everything that reads uploads, each batch in one child.

python -m tests.fuzz --minutes 60

Every file must be read, or refused with one sentence. A crash, another exception, a file that takes
too long or too much memory ends the batch, and the file is kept.
"""

import argparse
import io
import random
import shutil
import struct
import sys
import tempfile
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from core.errors import UserError
from core.events import Progress
from core.sandbox import Limits, run_limited

LIMITS = Limits(seconds=30, megabytes=700)
PICTURE_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "TGA", "PCX", "JPEG2000")
BATCH = 250
_LENGTHS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


# -- good files --


def checkpoints():
    """Checkpoints in all formats."""
    import torch
    from safetensors.torch import save

    from core.compress.codec import pack
    from core.models import build
    from core.models.card import ModelCard
    from tests import toys

    torch.manual_seed(0)
    state = toys.Flat().state_dict()
    content = {"state_dict": state, "epoch": 3, "note": b"bytes"}
    card = ModelCard(model="LeNet5", classes=("a", "b"), mean=(0.5,) * 3, std=(0.5,) * 3, side=32)
    packed, _ = pack(build("LeNet5", 2).state_dict(), card)
    modern = io.BytesIO()
    legacy = io.BytesIO()
    torch.save(content, modern)
    torch.save(content, legacy, _use_new_zipfile_serialization=False)
    return [modern.getvalue(), legacy.getvalue(), save(state, {"format": "pt"}), packed]


def pictures():
    """A small picture in each format."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 17, 3), np.uint8)
    files = []
    for name in PICTURE_FORMATS:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, name)
        files.append(file.getvalue())
    return files


def zips():
    """A zip file of two classes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, content in enumerate(pictures()[:4]):
            archive.writestr(f"pets/{'cat' if number % 2 else 'dog'}/{number}.png", content)
    return [file.getvalue()]


KINDS = {"checkpoint": checkpoints, "picture": pictures, "zip": zips}


# -- bad ones --


def damaged(data, dice):
    """The file with one to eight changes of all kinds."""
    content = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 8))):
        place = dice.randrange(len(content) + 1)
        length = dice.choice((1, 2, 4, 8, 64))
        match dice.randrange(6):
            case 0:
                content[place : place + length] = dice.randbytes(length)
            case 1:
                del content[place : place + dice.randrange(1, 1 + len(content) // 2 or 2)]
            case 2:
                start = dice.randrange(len(content) + 1)
                content[place:place] = content[start : start + length * 8]
            case 3:
                number = dice.choice(_LENGTHS)
                order = dice.choice("<>")
                content[place : place + 4] = struct.pack(f"{order}I", number)
            case 4:
                # The beginning decides what the rest is taken for.
                start = dice.randrange(min(200, len(content) + 1))
                content[start : start + 1] = dice.randbytes(1)
            case 5 if content:
                place = dice.randrange(len(content))
                content[place] ^= 1 << dice.randrange(8)
    return bytes(content)


def hostile_pickle(dice):
    """A checkpoint whose pickle calls allowed functions in ways that no program writes."""
    parts = [b"\x80\x02"]
    for _ in range(dice.randrange(1, 40)):
        parts.append(dice.choice(_PIECES)(dice))
    return _archive(b"".join(parts) + b".")


def _text(text):
    data = text.encode()
    return b"X" + struct.pack("<I", len(data)) + data


_CALLABLES = (
    "_codecs encode",
    "collections OrderedDict",
    "collections Counter",
    "builtins set",
    "torch Size",
    "torch device",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_sparse_tensor",
    "torch FloatStorage",
    "torch.nn.parameter Parameter",
)
_TEXTS = ("latin1", "hex", "punycode", "zip", "utf-7", "storage", "0", "cpu", "a" * 300)
_PIECES = (
    lambda dice: b"c" + dice.choice(_CALLABLES).replace(" ", "\n").encode() + b"\n",
    lambda dice: _text(dice.choice(_TEXTS)),
    lambda dice: b"J" + struct.pack("<i", dice.choice((-1, 0, 1, 7, 2**31 - 1))),
    lambda dice: b"q" + bytes([dice.randrange(4)]),
    lambda dice: b"h" + bytes([dice.randrange(4)]),
    lambda dice: dice.choice((b"R", b"\x85", b"\x86", b"\x87", b"(", b"t", b"Q", b"b", b"s", b"u")),
    lambda dice: dice.choice((b"}", b"]", b")", b"N", b"\x88", b"a", b"e", b"0", b"2", b"\x81")),
    lambda dice: b"c_codecs\nencode\n" + _text("ab" * 500) + _text(dice.choice(_TEXTS)) + b"\x86R",
)


def bombs():
    """Small files that would take gigabytes or hours, by kind."""
    again = b"c_codecs\nencode\n" + b"h\x00" + _text("hex") + b"\x86Rq\x00"
    start = b"\x80\x02" + b"c_codecs\nencode\n" + _text("a" * 1000) + _text("latin1")
    doubling = start + b"\x86Rq\x00" + again * 40 + b"."
    slow = b"\x80\x02c_codecs\nencode\n" + _text("ü" * 300_000) + _text("punycode") + b"\x86R."
    stored = b"\x80\x02c_codecs\nencode\nq\x01" + _text("a") + _text("latin1") + b"\x86R0"
    stored += b"h\x01" + _text("ü" * 300_000) + _text("punycode") + b"\x86R."
    many = b"\x80\x02" + b"N0" * 7_000_000 + b"N."
    for content in (doubling, slow, stored, many):
        yield "checkpoint", _archive(content)
    yield "checkpoint", _archive(b"\x80\x02" + bytes(50_000_000), zipfile.ZIP_DEFLATED)
    yield "picture", _png_header(1, 50_000_000)
    yield "picture", _png_header(50_000_000, 1)
    yield "picture", _png_header(7_000, 7_000)


def endless():
    """A checkpoint of a kilobyte that takes for ever: a key that is a tree of 2**60 tuples."""
    nested = b"\x80\x02)q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"}h\x00K\x01s."
    return _archive(nested)


def _archive(pickled, compression=zipfile.ZIP_STORED):
    """A file as torch.save writes it, with this pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", b"3\n")
        archive.writestr("archive/byteorder", b"little")
        archive.writestr("archive/data/0", bytes(64))
    return file.getvalue()


def _png_header(width, height):
    import zlib

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(3_000_000), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def hostile_files(seed, count):
    """Yield (kind, content) of so many bad files, the same ones for a seed."""
    dice = random.Random(seed)
    good = {kind: make() for kind, make in KINDS.items()}
    for _ in range(count):
        kind = dice.choice(("checkpoint", "checkpoint", "pickle", "picture", "picture", "zip"))
        if kind == "pickle":
            yield "checkpoint", hostile_pickle(dice)
        else:
            yield kind, damaged(dice.choice(good[kind]), dice)


# -- in the child --


def read_all(folder):
    """Read every file of the folder. Return how many were read, and the complaints by name."""
    warnings.simplefilter("ignore")
    paths = sorted(Path(folder).iterdir())
    complaints = {}
    for number, path in enumerate(paths):
        yield Progress(path.name, number, len(paths), "files")
        try:
            _read(path)
        except UserError as error:
            complaints[path.name] = str(error)
        except Exception as error:
            complaints[path.name] = f"{type(error).__name__}\n{error}"
    return {"read": len(paths) - len(complaints), "complaints": complaints}


def _read(path):
    from core.checkpoints.reader import read_checkpoint
    from core.checkpoints.recognition import recognise
    from core.data import import_folder, open_picture

    if path.name.startswith("checkpoint"):
        recognise(read_checkpoint(path).state)
    elif path.name.startswith("picture"):
        open_picture(path)
    else:
        with tempfile.TemporaryDirectory() as root:
            for _ in import_folder(path, root, "pets", 8):
                pass


# -- a batch --


def run_batch(files, folder):
    """Read the files in one child.

    Returns the number of files that were read, and the complaints. Raises UserError, which names
    the file, if a file ended the child or exceeded a limit, or if a complaint is no sentence.
    """
    folder.mkdir()
    for number, (kind, content) in enumerate(files):
        (folder / f"{kind}-{number}").write_bytes(content)
    name = ""
    events = run_limited(read_all, {"folder": str(folder)}, LIMITS, "A file")
    while True:
        try:
            name = getattr(next(events), "stage", name)
        except StopIteration as end:
            read, complaints = end.value["read"], end.value["complaints"]
            break
        except UserError as error:
            raise UserError(f"{name}: {error}") from error
    for name, text in complaints.items():
        if "\n" in text or len(text) > 600 or not text.endswith("."):
            raise UserError(f"{name} is refused with: {text}")
    return read, complaints


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0, help="seed of the first batch")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    seed = options.seed
    findings = 0
    total = 0
    while time.monotonic() < end:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "files"
            try:
                read, _ = run_batch(hostile_files(seed, BATCH), folder)
                print(f"seed {seed}: {BATCH - read} of {BATCH} files refused", flush=True)
            except UserError as error:
                findings += 1
                options.keep.mkdir(exist_ok=True)
                shutil.copytree(folder, options.keep / f"seed-{seed}", dirs_exist_ok=True)
                print(f"seed {seed}: {error}", flush=True)
        seed += 1
        total += BATCH
    print(f"{total:,} files, {findings} batches with findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
