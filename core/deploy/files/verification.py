"""Verifies an exported file: a fresh process loads it again, tests it and compares it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from core.deploy.files.formats import EXPORT_FORMATS, FormatName
from core.errors import UserError

_CODE = Path(__file__).resolve().parents[3]  # the folder of the package `core`


@dataclass(frozen=True)
class Verification:
    """What a fresh process found in a file. A figure is None where the format does not have it.

    accuracy: share of the test images that the file gets right, in [0, 1]. images: number of these
    images. zeros: number of weights that are cut, or are 0 in the network, and are 0 in the file or
    not in it any more. removed: number of weights that left the file with dead channels.
    """

    format_name: FormatName
    accuracy: float | None = None
    images: int | None = None
    zeros: int | None = None
    removed: int | None = None

    def __str__(self) -> str:
        parts = ["A fresh process loaded the file"]
        if self.accuracy is not None:
            engine = EXPORT_FORMATS[self.format_name].engine
            by = f" by {engine}" if engine else ""
            parts.append(f"measured {self.accuracy:.2%}{by} on {self.images:,} test images")
        if self.zeros:
            found = "zero or gone" if self.removed else "zero"
            parts.append(f"found all {self.zeros:,} pruned weights to be {found}")
        *others, last = parts
        return f"{', '.join(others)} and {last}." if others else f"{last}, and it is whole."


def verify_file(
    file: Path,
    format_name: FormatName,
    model: Path | None,
    data_root: Path,
    images: int | None = None,
    recorded: float | None = None,
    with_normalisation: bool = False,
) -> Verification:
    """Check the file in a fresh process, as `core.deploy.files.checks.check_file` does.

    Raises UserError for a file that is not what was exported, and if the process dies.
    """
    request = {
        "file": str(file),
        "format_name": format_name,
        "model": None if model is None else str(model),
        "data_root": str(data_root),
        "images": images,
        "recorded": recorded,
        "with_normalisation": with_normalisation,
    }
    process = subprocess.run(
        [sys.executable, "-m", "core.deploy.files.fresh"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        env=_environment(),
    )
    lines = process.stdout.splitlines()
    if not lines:
        reason = (process.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"The process that verifies {file} died: {reason}")
    answer = json.loads(lines[-1])
    if "error" in answer:
        raise UserError(answer["error"])
    return Verification(**answer)


def _environment() -> dict[str, str]:
    """Return this process's environment, with the package `core` on the path."""
    paths = [str(_CODE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
