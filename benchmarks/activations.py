"""From an uploaded photograph to the mosaics of all ReLUs as PNG files, step by step, and what 200 uploads leave.

    python -m benchmarks.activations     # --quick: few repeats, to see that it runs

Weights are random, which changes no step's work. The first upload of a process pays for lazy imports and is listed
apart; the others are medians. `redraw` is the slowest single layer, sorted anew from what was captured, `redraw all`
all of them. Memory is the resident set, looked at before and after the uploads that follow 20 for warming up.
"""

import argparse
import io
import time
from itertools import pairwise
from statistics import median

import numpy as np
import psutil
import torch
from PIL import Image

from benchmarks import report
from core import models
from core.data.picture import open_picture, to_square
from core.inspect.beside import Beside, Row
from core.inspect.look import look
from core.inspect.mosaic import Mosaic
from core.models.saved import Facts
from core.training.device import resolve

TARGETS = {"VGG16": 1.0, "ResNet50": 2.0}  # seconds for a whole upload at 32 x 32 on two cores
STEPS = ("decode", "capture", "mosaic", "encode", "total", "redraw", "redraw all")
WIDTH, ASPECT = 1200, 6.0  # of a picture, as the page asks for it


def photograph() -> bytes:
    """A JPEG of 12 megapixels, as a telephone makes them."""
    coarse = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((4000, 3000), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def facts(name: str, side: int) -> Facts:
    return Facts(model=name, dataset="", classes=tuple("0123456789"), mean=(0.5,) * 3, std=(0.25,) * 3, side=side)


def draw(seen: Beside, row: Row, by: str) -> Mosaic:
    """One layer as the page shows it for one model, its channels sorted, the dead ones framed."""
    return seen.channels(row, by, WIDTH, ASPECT)[0]


def upload(model: torch.nn.Module, picture: bytes, known: Facts) -> dict[str, float]:
    """Seconds of every step of one upload, and the number of layers and bytes that came of it."""
    times = [time.perf_counter()]
    image = to_square(open_picture(picture), known.side)
    times.append(time.perf_counter())
    seen = Beside((look(model, image, known),))
    times.append(time.perf_counter())
    mosaics = [draw(seen, row, "channel") for row in seen.rows]
    times.append(time.perf_counter())
    files = [shown.png() for shown in mosaics]
    times.append(time.perf_counter())
    slowest = 0.0
    for row in seen.rows:
        began = time.perf_counter()
        draw(seen, row, "strength").png()
        slowest = max(slowest, time.perf_counter() - began)
    spans = [after - before for before, after in pairwise(times)]
    again = time.perf_counter() - times[-1]
    return dict(zip(STEPS, [*spans, sum(spans), slowest, again], strict=True)) | {
        "layers": len(files), "bytes": sum(map(len, files))}


def growth(model: torch.nn.Module, picture: bytes, known: Facts, uploads: int) -> int:
    """Bytes by which the process grew over so many uploads."""
    resident = []
    for count in (min(20, uploads), uploads):
        for _ in range(count):
            upload(model, picture, known)
        resident.append(psutil.Process().memory_info().rss)
    return resident[1] - resident[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--uploads", type=int, default=200, help="for the memory")
    parser.add_argument("--side", type=int, default=32, help="of the network's image, in pixels")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.repeats, options.uploads = 2, 3
    device, picture, rows = resolve("auto"), photograph(), []
    for name, target in TARGETS.items():
        model = models.build(name, 10).to(device).eval()
        known = facts(name, options.side)
        first, *others = [upload(model, picture, known) for _ in range(options.repeats + 1)]
        common = {"network": name, "layers": first["layers"], "PNG kB": round(first["bytes"] / 1e3)}
        for step in STEPS:
            typical = median(other[step] for other in others)
            limit = {"total": target, "redraw": 0.3, "redraw all": 0.3}.get(step)
            rows.append(common | {"step": step, "median s": round(typical, 4), "first s": round(first[step], 4),
                                  "target s": limit if limit and options.side == 32 else ""})
        rows.append(common | {"step": f"memory of {options.uploads} uploads",
                              "grew MB": round(growth(model, picture, known, options.uploads) / 1e6, 1)})
    report.write("activations", rows, [f"On {device}, with {torch.get_num_threads()} threads; images of "
                                       f"{options.side} x {options.side}, from a JPEG of 12 megapixels."])


if __name__ == "__main__":
    main()
