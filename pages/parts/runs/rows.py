"""The rows of the table of runs. Those of runs that are over are made once."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import streamlit as st

from core.runs.comparison.figures import bytes_on_disk, kept_share
from core.runs.run import Run
from core.runs.space.disk_use import DiskUse
from pages.parts.runs.cards import made_by
from pages.parts.runs.owners import owner_name
from pages.parts.shared.states import signed_state

Row = dict[str, Any]

_MOST_REMEMBERED = 50_000


@dataclass(frozen=True)
class _Made:
    """A row, and the run that it was made of."""

    run: Run
    row: Row

    def is_of(self, run: Run) -> bool:
        """Whether the run was not read again since. It is, whenever its folder changes."""
        return self.run.status is run.status and self.run.config is run.config


def rows_of(runs: list[Run], use: DiskUse) -> list[Row]:
    """Return a row for each run, with a cell for each column. use: of the disk."""
    made = _made_rows()
    if len(made) > _MOST_REMEMBERED:
        made.clear()
    return [_row(run, use.by_run.get(run.id), made) for run in runs]


@st.cache_resource(show_spinner=False)
def _made_rows() -> dict[str, _Made]:
    """The rows by the path of the run."""
    return {}


def _row(run: Run, disk_bytes: int | None, made: dict[str, _Made]) -> Row:
    disk = None if disk_bytes is None else disk_bytes / 1000
    known = made.get(str(run.path))
    if known is not None and known.is_of(run):
        return known.row | {"disk": disk}
    row = _make(run)
    if not run.active:
        made[str(run.path)] = _Made(run, row)
    return row | {"disk": disk}


def _make(run: Run) -> Row:
    status = run.status
    number = bytes_on_disk(run)
    return {
        "status": [signed_state(run)],
        "name": run.name,
        "kind": made_by(run),
        "tags": list(run.tags),
        "owner": owner_name(run) or None,
        "model": run.model,
        "dataset": run.dataset,
        "density": kept_share(run),
        "epoch": f"{status.epoch} / {run.recipe.epochs}" if run.recipe.epochs else None,
        "test": _in_percent(status.test_accuracy),
        "best": _in_percent(status.best_accuracy),
        "curve": status.accuracies or None,
        "size": None if number is None else number / 1000,
        "created": datetime.fromtimestamp(run.config.created),
    }


def _in_percent(accuracy: float | None) -> float | None:
    return None if accuracy is None else 100 * accuracy
