"""Prints a benchmark's table, and writes its figures with everything needed to believe them."""

import datetime
import json
import platform
import re
import shlex
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "streamlit")

Row = dict[str, Any]


def write_report(
    name: str, rows: Sequence[Row], notes: Sequence[str] = (), unprinted: Sequence[str] = ()
) -> None:
    """Print the rows as a table, and write them to results/NAME.json.

    unprinted: columns that only the file has.

    The file also says with which command, on which machine, with which versions, and when.
    """
    _print_table([{key: row[key] for key in row if key not in unprinted} for row in rows])
    for note in notes:
        print(note)
    RESULTS.mkdir(exist_ok=True)
    content = {
        "figures": rows,
        "notes": list(notes),
        "command": _command(),
        "machine": describe_machine(),
        "versions": {"python": platform.python_version(), **_versions()},
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, memory and GPU of this machine, without its name."""
    import torch

    return {
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "system": platform.system(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _command() -> str:
    """Return the command line of this process, without the folders of absolute paths."""
    script = Path(sys.argv[0]).stem
    arguments = [re.sub(r"(^|=)([A-Za-z]:)?[/\\].*[/\\]", r"\1", word) for word in sys.argv[1:]]
    return shlex.join(["python", "-m", f"benchmarks.{script}", *arguments])


def _print_table(rows: Sequence[Row]) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns]
    for row in rows:
        lines.append([str(row.get(column, "")) for column in columns])
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        print("  ".join(cells).rstrip())
