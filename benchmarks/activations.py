"""Times an upload: from a photograph to the mosaics of all ReLUs as PNG files, step by step.

    python -m benchmarks.activations     # --quick: few repeats, to see that it runs

Weights are random, which changes no step's work. The first upload of a process pays for lazy
imports and is listed apart; the others are medians. `redraw` is the slowest single layer, sorted
anew from what was captured, `redraw all` all layers. The memory that 200 uploads leave is how much
the resident set grows after the first 20.
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
from torch import nn

from benchmarks.report import Row, write_report
from core import models
from core.data.picture import open_picture, to_square
from core.inspect.activations.comparison import ActivationComparison, ChannelOrder, MatchedCalls
from core.inspect.activations.forward import run_forward
from core.inspect.mosaic import Mosaic
from core.models.card import ModelCard
from core.training.device import choose_device

TARGETS = {"VGG16": 1.0, "ResNet50": 2.0}  # seconds for a whole upload at 32 x 32 on two cores
REDRAW_TARGET = 0.3  # seconds
STEPS = ("decode", "capture", "mosaic", "encode", "total", "redraw", "redraw all")
WIDTH = 1200  # pixels of a picture, as on the page
ASPECT = 6.0  # width by height


def make_photograph() -> bytes:
    """Return a JPEG of 12 megapixels, such as a phone takes."""
    coarse = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    picture = Image.fromarray(coarse).resize((4000, 3000), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return file.getvalue()


def make_card(name: str, side: int) -> ModelCard:
    """Return the card of an untrained network for images of `side` x `side` pixels."""
    return ModelCard(
        model=name,
        dataset="",
        classes=tuple("0123456789"),
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        side=side,
    )


def draw_layer(comparison: ActivationComparison, row: MatchedCalls, order: ChannelOrder) -> Mosaic:
    """Draw one layer as the page does for one model: channels in order, dead ones framed."""
    mosaic = comparison.channel_mosaics(row, order, WIDTH, ASPECT)[0]
    assert mosaic is not None, "a single model has all of its own layers"
    return mosaic


def time_upload(model: nn.Module, photograph: bytes, card: ModelCard) -> dict[str, float]:
    """Return the seconds of every step of one upload, the number of layers, and the PNG bytes."""
    times = [time.perf_counter()]
    image = to_square(open_picture(photograph), card.side)
    times.append(time.perf_counter())
    comparison = ActivationComparison((run_forward(model, image, card),))
    times.append(time.perf_counter())
    mosaics = [draw_layer(comparison, row, "channel") for row in comparison.rows]
    times.append(time.perf_counter())
    files = [mosaic.png() for mosaic in mosaics]
    times.append(time.perf_counter())
    slowest = 0.0
    for row in comparison.rows:
        began = time.perf_counter()
        draw_layer(comparison, row, "strength").png()
        slowest = max(slowest, time.perf_counter() - began)
    redraw_all = time.perf_counter() - times[-1]
    spans = [after - before for before, after in pairwise(times)]
    seconds = dict(zip(STEPS, [*spans, sum(spans), slowest, redraw_all], strict=True))
    return {**seconds, "layers": len(files), "bytes": sum(len(file) for file in files)}


def memory_growth(model: nn.Module, photograph: bytes, card: ModelCard, uploads: int) -> int:
    """Return the bytes by which the process grows in so many uploads, after 20 to warm up."""
    resident = []
    for count in (min(20, uploads), uploads):
        for _ in range(count):
            time_upload(model, photograph, card)
        resident.append(psutil.Process().memory_info().rss)
    return resident[1] - resident[0]


def measure_uploads(
    name: str, side: int, photograph: bytes, repeats: int, uploads: int
) -> list[Row]:
    """Return the rows of one network: one for each step, and one for the memory."""
    model = models.build(name, 10).to(choose_device("auto")).eval()
    card = make_card(name, side)
    first, *others = [time_upload(model, photograph, card) for _ in range(repeats + 1)]
    common = {"network": name, "layers": first["layers"], "PNG kB": round(first["bytes"] / 1e3)}
    targets = {"total": TARGETS[name], "redraw": REDRAW_TARGET, "redraw all": REDRAW_TARGET}
    rows: list[Row] = []
    for step in STEPS:
        row = {
            "step": step,
            "median s": round(median(other[step] for other in others), 4),
            "first s": round(first[step], 4),
            "target s": targets.get(step, "") if side == 32 else "",
        }
        rows.append(common | row)
    grown = memory_growth(model, photograph, card, uploads)
    rows.append(common | {"step": f"memory of {uploads} uploads", "grew MB": round(grown / 1e6, 1)})
    return rows


def main() -> None:
    """Print the table and write results/activations.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--uploads", type=int, default=200, help="for the memory")
    parser.add_argument("--side", type=int, default=32, help="of the network's image, in pixels")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.repeats = 2
        options.uploads = 3
    photograph = make_photograph()
    rows: list[Row] = []
    for name in TARGETS:
        rows += measure_uploads(name, options.side, photograph, options.repeats, options.uploads)
    note = (
        f"On {choose_device('auto')}, with {torch.get_num_threads()} threads; images of"
        f" {options.side} x {options.side}, from a JPEG of 12 megapixels."
    )
    write_report("activations", rows, [note])


if __name__ == "__main__":
    main()
