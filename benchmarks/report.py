"""How a benchmark reports: a table for the person, and a file for the README with what it takes to believe it."""

import datetime
import json
import platform
import re
import shlex
import sys
from importlib import metadata
from pathlib import Path

import psutil

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "streamlit")


def write(name: str, rows: list[dict], notes: list[str] = ()) -> None:
    """Print `rows` as a table and write them to results/NAME.json with command, machine, versions and date."""
    _print(rows, notes)
    RESULTS.mkdir(exist_ok=True)
    content = {"figures": rows, "notes": list(notes), "command": _command(), "machine": machine(),
               "versions": {"python": platform.python_version(), **_versions()},
               "date": datetime.datetime.now(datetime.UTC).date().isoformat()}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def machine() -> dict:
    """Processor, cores, memory and GPU of this machine; no name of it."""
    import torch
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"processor": _processor(), "cores": psutil.cpu_count(), "system": platform.system(),
            "memory_gib": round(psutil.virtual_memory().total / 2**30), "gpu": gpu}


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _command() -> str:
    script = Path(sys.argv[0]).stem
    arguments = [re.sub(r"(^|=)([A-Za-z]:)?[/\\].*[/\\]", r"\1", word) for word in sys.argv[1:]]  # no absolute paths
    return shlex.join(["python", "-m", f"benchmarks.{script}", *arguments])


def _print(rows: list[dict], notes) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = [columns, *([str(row.get(column, "")) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(columns))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    for note in notes:
        print(note)
