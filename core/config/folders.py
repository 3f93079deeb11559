"""Finds the folders of the runs, of the data sets and of own networks."""

import os
from pathlib import Path


def runs_root(folder: str | Path | None = None) -> Path:
    """Return the folder of the runs: the argument, `SECATEUR_RUNS`, or `runs/` next to the app."""
    return _root(folder, "SECATEUR_RUNS", "runs")


def data_root(folder: str | Path | None = None) -> Path:
    """Return the folder of the data: the argument, `SECATEUR_DATA`, or `data/` next to the app."""
    return _root(folder, "SECATEUR_DATA", "data")


def models_root() -> Path | None:
    """Return the folder of own networks, `SECATEUR_MODELS`; None if it is not set."""
    folder = os.environ.get("SECATEUR_MODELS")
    return Path(folder).expanduser().absolute() if folder else None


def _root(folder: str | Path | None, variable: str, default: str) -> Path:
    app = Path(__file__).resolve().parents[2]
    root = folder or os.environ.get(variable) or app / default
    return Path(root).expanduser().absolute()
