"""Fits networks into budgets with `python -m core budget`, and writes what was found on the way.

    python -m benchmarks.budget --runs-dir RUNS RUN "--bytes 84000 --minutes 5 --epochs 0" ...

Each figure comes from the command that a person would type. A limit of bytes is searched without
any test image, so its accuracies are those of all test images, measured here. A limit of accuracy
is checked on half A, so its accuracies are those of half B. The rows of earlier calls stay, but
those of the same network and flags are replaced.
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

from benchmarks.report import RESULTS, Row, write_report
from core.config import BudgetRecipe, data_root
from core.jobs.parent_dataset import load_parent_dataset
from core.models.saved import read_model
from core.runs.budget import tried_candidates
from core.runs.run import MODEL
from core.runs.store import RunStore
from core.training.evaluate import evaluate
from core.training.setup import test_images

NAME = "budget"
NOTES = (
    "The load is that of the machine at the end of the row.",
    "Each candidate: bytes, KL divergence in nats on training images, epochs of tuning, points of"
    " accuracy lost on half A (none without a limit of accuracy).",
)


def run_budget(words: list[str], folder: str) -> tuple[dict[str, Any], float]:
    """Return the figures that the command prints, and its seconds."""
    command = [sys.executable, "-m", "core", "budget", *words, "--json", "--runs-dir", folder]
    began = time.perf_counter()
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    figures: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return figures, time.perf_counter() - began


def accuracy_on_all_images(store: RunStore, run: str) -> float:
    """Return the accuracy of a run's network on all test images, in [0, 1]."""
    saved = read_model(store.get(run).path / MODEL)
    dataset = load_parent_dataset(saved.card, data_root())
    _, accuracy = evaluate(saved.network(), test_images(dataset, torch.device("cpu")))
    return accuracy


def measure(run: str, flags: str, folder: str) -> Row:
    """Return one row of the table."""
    store = RunStore(Path(folder))
    found, seconds = run_budget([run, *shlex.split(flags)], folder)
    recipe = store.get(found["run_id"]).recipe
    assert isinstance(recipe, BudgetRecipe)
    before, after = found["parent_accuracy"], found["test_accuracy"]
    if recipe.lose is None:
        before = accuracy_on_all_images(store, run)
        after = accuracy_on_all_images(store, found["run_id"])
    tried = tried_candidates(store.events(found["run_id"]))
    return {
        "network": f"{found['model']} on {found['dataset']}",
        "flags": flags,
        "bytes": found["packed_bytes"],
        "times smaller": round(found["float_bytes"] / found["packed_bytes"], 2),
        "float %": round(100 * before, 2),
        "accuracy %": round(100 * after, 2),
        "test images": "all" if recipe.lose is None else "half B",
        "epochs of tuning": found["epochs"],
        "tried": len(tried),
        "whole command s": round(seconds),
        "load": round(psutil.getloadavg()[0], 1),
        "candidates": [[made.bytes, made.divergence, made.epochs, made.lost] for made in tried],
    }


def earlier_rows() -> list[Row]:
    """Return the rows of the last report."""
    path = RESULTS / f"{NAME}.json"
    return list(json.loads(path.read_text())["figures"]) if path.exists() else []


def main() -> None:
    """Search with each of the flags, and write the report after each."""
    parser = argparse.ArgumentParser(description=__doc__, prog=f"python -m benchmarks.{NAME}")
    parser.add_argument("run", metavar="RUN", help="a finished run with a network")
    parser.add_argument("flags", metavar="FLAGS", nargs="+", help="of one budget, in quotes")
    parser.add_argument("--runs-dir", required=True, help="the folder of the runs")
    options = parser.parse_args()
    for flags in options.flags:
        row = measure(options.run, flags, options.runs_dir)
        same = (row["network"], row["flags"])
        rows = [old for old in earlier_rows() if (old["network"], old["flags"]) != same]
        write_report(NAME, [*rows, row], NOTES, ["candidates"])


if __name__ == "__main__":
    main()
