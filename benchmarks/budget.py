"""Compares a budget with one setting for all layers, at the same number of bytes.

    python -m benchmarks.budget --runs-dir RUNS --minutes 20 RUN [RUN ...]

For each setting the network is quantized as usual, and then by a budget of as many bytes. Each
figure comes from the command line that a person would type. The accuracies are those of all test
images, measured here for both. Neither of them is tuned by labels.
"""

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks.report import Row, write_report
from core.config import data_root
from core.jobs.parent_dataset import load_parent_dataset
from core.models.saved import read_model
from core.runs.run import MODEL
from core.training.evaluate import evaluate
from core.training.setup import test_images

SETTINGS = ("--clusters 5", "--clusters 8", "--bits 3 --range mse")


def run_core(words: list[str], folders: list[str]) -> tuple[dict[str, Any], float]:
    """Return the figures that a command prints, and its seconds."""
    command = [sys.executable, "-m", "core", *words, "--json", *folders]
    began = time.perf_counter()
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    figures: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return figures, time.perf_counter() - began


def accuracy_on_all_images(runs: Path, run: str) -> float:
    """Return the accuracy of a run's network on all test images, in percent."""
    saved = read_model(runs / run / MODEL)
    dataset = load_parent_dataset(saved.card, data_root())
    _, accuracy = evaluate(saved.network(), test_images(dataset, torch.device("cpu")))
    return round(100 * accuracy, 2)


def compare(run: str, flags: str, minutes: float, folders: list[str]) -> Row:
    """Return one row of the table."""
    runs = Path(folders[1])
    usual, _ = run_core(["quantize", run, *shlex.split(flags)], folders)
    limit = usual["packed_bytes"]
    words = ["budget", run, "--bytes", str(limit), "--minutes", f"{minutes:g}"]
    found, seconds = run_core(words, folders)
    return {
        "network": f"{usual['model']} on {usual['dataset']}",
        "one setting": flags,
        "bytes": limit,
        "float %": accuracy_on_all_images(runs, run),
        "one setting %": accuracy_on_all_images(runs, usual["run_id"]),
        "budget bytes": found["packed_bytes"],
        "budget %": accuracy_on_all_images(runs, found["run_id"]),
        "epochs of tuning": found["epochs"],
        "whole command s": round(seconds),
        "load": round(psutil.getloadavg()[0], 1),
        "command": f"python -m core {' '.join(['budget', 'RUN', *words[2:]])}",
    }


def main() -> None:
    """Compare the settings on each run, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.budget")
    parser.add_argument("runs", metavar="RUN", nargs="+", help="a finished run with a network")
    parser.add_argument("--runs-dir", required=True, help="the folder of the runs")
    parser.add_argument("--minutes", type=float, default=20, help="of each budget [20]")
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), help="flags of quantize")
    options = parser.parse_args()
    folders = ["--runs-dir", options.runs_dir]
    rows = [
        compare(run, flags, options.minutes, folders)
        for run in options.runs
        for flags in options.settings
    ]
    write_report("budget", rows, ["The load is that of the machine at the end of each row."])


if __name__ == "__main__":
    main()
