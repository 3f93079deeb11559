"""Measures what quantizing costs and saves: accuracy on all test images, and bytes on disk.

    # from networks that were trained elsewhere; takes an hour or two
    python -m benchmarks.quantization ResNet20=resnet20.th ResNet56=resnet56.th
    python -m benchmarks.quantization ResNet20=resnet20.th --rows float "5 clusters"

Each row comes from the command line that a person would type, in a process of its own.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.report import Row, write_report
from core.config import runs_root

# How the imported network is quantized, by the flags of `python -m core quantize`.
QUANTIZATIONS = {
    "32 clusters": "--clusters 32",
    "8 clusters": "--clusters 8",
    "5 clusters": "--clusters 5",
    "5 clusters, nearest": "--clusters 5 --rounding nearest --no-recalibrate",
    "5 clusters, nearest to Fisher's centroids": "--clusters 5 --init fisher --rounding nearest",
    "5 clusters, start chosen": "--clusters 5 --init auto",
    "5 clusters, tuned": "--clusters 5 --epochs 3",
    "4 clusters": "--clusters 4",
    "4 clusters, tuned": "--clusters 4 --epochs 3",
    "8 bits": "--bits 8",
    "4 bits": "--bits 4 --range mse",
    "4 bits, nearest": "--bits 4 --rounding nearest --no-recalibrate",
    "3 bits": "--bits 3 --range mse",
    "2 bits": "--bits 2 --range mse",
    "2 bits, tuned": "--bits 2 --range mse --epochs 3",
}
# The normalisation that the checkpoints were trained with.
NORMALISATION = "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"


def run_command(command: str, arguments: list[str], folders: list[str]) -> dict[str, Any]:
    """Return the summary that `python -m core COMMAND ARGUMENTS --json` ends with."""
    words = [sys.executable, "-m", "core", command, *arguments, "--json", *folders]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{shlex.join(words)} ended with {done.returncode}")
    summary: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return summary


def measure_quantizations(
    network: str, path: Path, titles: set[str], folders: list[str]
) -> Iterator[Row]:
    """Yield the rows of one network with these titles: the float network first, if it is one."""
    flags = f"--model {network} --dataset CIFAR10 {NORMALISATION}"
    imported = run_command("import", [str(path), *shlex.split(flags)], folders)
    parent = imported["run_id"]
    float_bytes = (runs_root(folders[1]) / parent / "model.safetensors").stat().st_size
    if "float" in titles:
        yield {
            "network": network,
            "quantized": "float",
            "test accuracy %": round(100 * imported["test_accuracy"], 2),
            "points lost": 0.0,
            "bytes": float_bytes,
            "times smaller": 1.0,
            "tuning s": 0,
            "whole command s": 0,
            "command": f"python -m core import {path.name} {flags}",
        }
    for title, flags in QUANTIZATIONS.items():
        if title not in titles:
            continue
        began = time.perf_counter()
        quantized = run_command("quantize", [parent, *shlex.split(flags)], folders)
        seconds = time.perf_counter() - began
        lost = imported["test_accuracy"] - quantized["test_accuracy"]
        yield {
            "network": network,
            "quantized": title,
            "test accuracy %": round(100 * quantized["test_accuracy"], 2),
            "points lost": round(100 * lost, 2),
            "bytes": quantized["packed_bytes"],
            "times smaller": round(float_bytes / quantized["packed_bytes"], 1),
            "tuning s": round(quantized["train_seconds"] or 0),
            "whole command s": round(seconds),
            "command": f"python -m core quantize RUN {flags}",
        }


def main() -> None:
    """Print the table and write results/quantization.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    titles = ["float", *QUANTIZATIONS]
    parser.add_argument("checkpoints", nargs="+", metavar="NETWORK=FILE")
    parser.add_argument("--rows", nargs="+", default=titles, metavar="ROW", choices=titles)
    parser.add_argument("--data-dir")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as runs:
        folders = ["--runs-dir", runs]
        if options.data_dir:
            folders += ["--data-dir", options.data_dir]
        for checkpoint in options.checkpoints:
            network, _, path = checkpoint.partition("=")
            for row in measure_quantizations(network, Path(path), set(options.rows), folders):
                print(json.dumps(row), file=sys.stderr, flush=True)
                rows.append(row)
    note = (
        "RUN is the id that the first command of the network prints. Weights are quantized on disk"
        " and computed with in float; bytes are those of the packed file."
    )
    write_report("quantization", rows, [note])


if __name__ == "__main__":
    main()
