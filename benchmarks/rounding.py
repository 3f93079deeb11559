"""Compares compensated with nearest rounding on networks that were trained here.

    python -m benchmarks.rounding --runs-dir RUNS RUN [RUN ...]

Each figure comes from the command line that a person would type, in a process of its own: the
accuracy on all test images, the time of the whole command, and how much more memory compensated
rounding takes than nearest rounding does. Nothing is tuned.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.report import Row, write_report
from core.runs.store import RunStore

QUANTIZATIONS = ("--clusters 8", "--clusters 5", "--clusters 3", "--bits 3", "--bits 2")


def run_quantize(run: str, flags: str, folders: list[str]) -> tuple[dict[str, Any], float, int]:
    """Return the summary of the command, its seconds, and its greatest memory in bytes."""
    words = [sys.executable, "-m", "core", "quantize", run, *shlex.split(flags)]
    began = time.perf_counter()
    process = subprocess.Popen([*words, "--json", *folders], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{shlex.join(words)} ended with {os.waitstatus_to_exitcode(status)}")
    summary: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return summary, time.perf_counter() - began, 1024 * usage.ru_maxrss


def compare(run: str, flags: str, folders: list[str]) -> Row:
    """Return one row of the table."""
    nearest, _, nearest_bytes = run_quantize(
        run, f"{flags} --rounding nearest --no-recalibrate", folders
    )
    re_estimated, _, _ = run_quantize(run, f"{flags} --rounding nearest", folders)
    compensated, seconds, peak_bytes = run_quantize(run, flags, folders)
    return {
        "network": f"{nearest['model']} on {nearest['dataset']}",
        "kept %": round(100 * RunStore(Path(folders[1])).get(run).density, 1),
        "quantized": flags,
        "float %": round(100 * nearest["parent_accuracy"], 2),
        "nearest %": round(100 * nearest["test_accuracy"], 2),
        "nearest, BatchNorm auto %": round(100 * re_estimated["test_accuracy"], 2),
        "compensated %": round(100 * compensated["test_accuracy"], 2),
        "whole command s": round(seconds),
        "more memory MB": round((peak_bytes - nearest_bytes) / 1e6),
        "command": f"python -m core quantize RUN {flags}",
    }


def main() -> None:
    """Print the table and write results/rounding.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--quantized", nargs="+", metavar="FLAGS", default=QUANTIZATIONS)
    parser.add_argument("--runs-dir", required=True)
    parser.add_argument("--data-dir")
    options = parser.parse_args()
    folders = ["--runs-dir", options.runs_dir]
    if options.data_dir:
        folders += ["--data-dir", options.data_dir]
    rows = []
    for run in options.runs:
        for flags in options.quantized:
            rows.append(compare(run, flags, folders))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    better = sum(row["compensated %"] >= row["nearest, BatchNorm auto %"] for row in rows)
    note = (
        f"Compensated rounding is at least as accurate as nearest rounding in {better} of"
        f" {len(rows)} rows. Both with BatchNorm re-estimated as far as it helps."
    )
    write_report("rounding", rows, [note])


if __name__ == "__main__":
    main()
