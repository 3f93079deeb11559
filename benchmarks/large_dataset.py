"""Measures a data set of many images: its import, and the way to the first batches of a training.

python -m benchmarks.large_dataset --images 200000 --side 64

The images are synthetic: smooth colours and noise. They are imported from an .npz file, and from
Parquet files of JPEGs, as Hugging Face stores them. Every measurement is made in a process of its
own. All files are deleted at the end.
"""

import argparse
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from benchmarks.report import Row, write_report
from core.data import import_images, load
from core.data.disk import PixelSums
from core.data.imageset import Pixels

_CLASSES = 1000
_TEST_SHARE = 0.05
_CHUNK = 1000
_SHARD = 20_000
_BATCH = 128
_BATCHES = 10


# -- the files --


def images_of(count: int, side: int, seed: int) -> Iterator[Pixels]:
    """Yield uint8 images (n, side, side, 3), in chunks of up to 1,000."""
    generator = np.random.default_rng(seed)
    for start in range(0, count, _CHUNK):
        n = min(_CHUNK, count - start)
        coarse = generator.integers(0, 240, (n, 4, 4, 3), np.uint8)
        smooth = coarse.repeat(side // 4, axis=1).repeat(side // 4, axis=2)
        yield smooth + generator.integers(0, 16, smooth.shape, np.uint8)


def write_npz(path: Path, counts: dict[str, int], side: int) -> None:
    """Write x_train, y_train, x_test and y_test, without ever holding them in memory."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for seed, (split, count) in enumerate(counts.items()):
            header = {"descr": "|u1", "fortran_order": False, "shape": (count, side, side, 3)}
            with archive.open(f"x_{split}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array_header_1_0(file, header)
                for chunk in images_of(count, side, seed):
                    file.write(chunk.tobytes())
            with archive.open(f"y_{split}.npy", "w") as file:
                np.lib.format.write_array(file, np.arange(count) % _CLASSES)


def write_parquet(folder: Path, counts: dict[str, int], side: int) -> None:
    """Write files of up to 20,000 JPEGs each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir()
    schema = pa.schema(
        [
            ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            ("label", pa.int64()),
        ]
    )
    for seed, (split, count) in enumerate(counts.items()):
        for row, chunk in enumerate(images_of(count, side, seed)):
            if row * _CHUNK % _SHARD == 0:
                number = row * _CHUNK // _SHARD
                shards = -(-count // _SHARD)
                path = folder / f"{split}-{number:05d}-of-{shards:05d}.parquet"
                writer = pq.ParquetWriter(path, schema)
            images = [{"bytes": _jpeg(image), "path": None} for image in chunk]
            labels = (row * _CHUNK + np.arange(len(chunk))) % _CLASSES
            writer.write_table(pa.table([images, labels], schema=schema))
            if (row + 1) * _CHUNK % _SHARD == 0 or (row + 1) * _CHUNK >= count:
                writer.close()


def _jpeg(image: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=90)
    return file.getvalue()


# -- what a child measures --


def measure_import(source: str, root: str, side: int) -> dict[str, float]:
    """Import the source. Return the seconds that it took."""
    began = time.perf_counter()
    for _ in import_images([source], root, "large", side):
        pass
    return {"seconds": time.perf_counter() - began, "CPU": time.process_time()}


def measure_batches(root: str) -> dict[str, float]:
    """Return the seconds from the start of the process to training batches, cropped and flipped."""
    from core.data.batches import DeviceImages, epoch_plan

    started = psutil.Process().create_time()
    dataset = load("Folder/large", root)
    images = DeviceImages(dataset.train, dataset.mean, dataset.std, "cpu")
    order, augmentation = epoch_plan(len(images), 0, 0, augment=True)
    seconds = {}
    for number, rows in enumerate(order.split(_BATCH)[:_BATCHES], 1):
        images.batch(rows, augmentation)
        if number in (1, _BATCHES):
            seconds[f"batch {number}"] = time.time() - started
            seconds[f"CPU {number}"] = time.process_time()
    return seconds


def measure_statistics(root: str) -> dict[str, float]:
    """Return the seconds that mean and deviation take, which an import adds up as it writes."""
    dataset = load("Folder/large", root)
    began = time.perf_counter()
    sums = PixelSums()
    sums.add(dataset.train.images)
    mean, _ = sums.mean_and_std()
    assert mean == dataset.mean
    return {"seconds": time.perf_counter() - began, "CPU": time.process_time()}


MEASURES: dict[str, Any] = {
    "import": measure_import,
    "batches": measure_batches,
    "statistics": measure_statistics,
}


def in_child(measure: str, *arguments: object) -> dict[str, float]:
    """Measure in a new process. Adds its peak memory in MB.

    peak: all of it, with the files that it maps. own: without these, looked at 20 times a second.
    """
    words = [sys.executable, "-m", "benchmarks.large_dataset", "--measure", measure]
    words += [str(argument) for argument in arguments]
    own = 0
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                memory = watched.memory_info()
                own = max(own, memory.rss - memory.shared)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.05)
        assert process.stdout is not None
        figures: dict[str, float] = json.loads(process.stdout.read())
    return figures | {"own": own / 1e6}


def report_measure(words: list[str]) -> None:
    """Run in the child: print the figures as JSON."""
    measure, *arguments = words
    values = [int(word) if word.isdigit() else word for word in arguments]
    figures = MEASURES[measure](*values)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps(figures | {"peak": peak}))


# -- the table --


def forget_files(folder: Path) -> None:
    """Ask the system to drop the files in `folder` from its cache, as after a restart."""
    os.sync()
    for path in folder.rglob("*.npy"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def bytes_in(path: Path) -> int:
    """Return the size of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def measure_source(source: Path, kind: str, folder: Path, count: int, side: int) -> list[Row]:
    """Return the rows of one kind of file."""
    root = folder / "data"
    figures = in_child("import", source, root, side)
    imported = root / "Folder" / "large"
    rows = [
        _row(f"import {kind}", figures)
        | {
            "images/s": round(count / figures["seconds"]),
            "source MB": round(bytes_in(source) / 1e6),
            "on disk MB": round(bytes_in(imported) / 1e6),
        }
    ]
    if kind == "npz":
        rows.append(_row("mean and deviation again", in_child("statistics", root)))
        for cache in ("cold", "warm"):
            if cache == "cold":
                forget_files(imported)
            figures = in_child("batches", root)
            for number in (1, _BATCHES):
                seconds = {
                    "seconds": figures[f"batch {number}"],
                    "CPU": figures[f"CPU {number}"],
                }
                rows.append(_row(f"to batch {number}, {cache} files", figures | seconds))
    shutil.rmtree(root)
    return rows


def _row(what: str, figures: dict[str, float]) -> Row:
    return {
        "what": what,
        "seconds": round(figures["seconds"], 2),
        "CPU seconds": round(figures["CPU"], 2),
        "own peak MB": round(figures["own"]),
        "peak MB": round(figures["peak"]),
    }


def main() -> None:
    """Print the table and write results/large_dataset.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--side", type=int, default=64, help="a multiple of 4")
    parser.add_argument(
        "--folder", type=Path, help="where there is room for three times the images"
    )
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        report_measure(options.measure)
        return
    test = max(_CLASSES, round(options.images * _TEST_SHARE))
    counts = {"train": options.images - test, "test": test}
    rows = []
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        sources = {"npz": folder / "large.npz", "Parquet": folder / "parquet"}
        write_npz(sources["npz"], counts, options.side)
        rows += measure_source(sources["npz"], "npz", folder, options.images, options.side)
        sources["npz"].unlink()
        write_parquet(sources["Parquet"], counts, options.side)
        rows += measure_source(sources["Parquet"], "Parquet", folder, options.images, options.side)
    load = os.getloadavg()[0]
    notes = [
        f"{options.images:,} images of {options.side} x {options.side} pixels in {_CLASSES:,}"
        f" classes; batches of {_BATCH} on the CPU, with random crops and flips.",
        "own peak: memory of the process itself, with its modules. peak: also the files that it"
        " maps, whose memory the system takes back when it is needed.",
        "The seconds to a batch count from the start of the process, with the imports of torch.",
        f"Other programs used the machine, too: its load was {load:.1f} at the end. The CPU seconds"
        " are those of the process alone, from its start.",
    ]
    write_report("large_dataset", rows, notes)


if __name__ == "__main__":
    main()
