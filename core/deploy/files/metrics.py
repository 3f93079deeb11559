"""Writes and reads the figures of a run's epochs as a table (CSV)."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from core.errors import UserError
from core.events import EpochEnd

METRIC_COLUMNS = tuple(field.name for field in fields(EpochEnd) if field.name != "time")
"""The figures of `core.events.EpochEnd`, in its units. One that was not measured is empty."""


def metrics_csv(epochs: Sequence[Mapping[str, Any]]) -> str:
    """Return the table with a row for each epoch.

    epochs: EpochEnd events as plain data. Raises UserError if there is none.
    """
    if not epochs:
        raise UserError("This run trained for no epoch, so it has no metrics.")
    text = io.StringIO()
    writer = csv.DictWriter(text, METRIC_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(epochs)
    return text.getvalue()


def read_metrics(text: str) -> list[dict[str, float | None]]:
    """Return the rows of such a table. Raises UserError for another one."""
    reader = csv.DictReader(io.StringIO(text))
    if tuple(reader.fieldnames or ()) != METRIC_COLUMNS:
        raise UserError("This is not a table of epochs that Secateur wrote.")
    try:
        return [
            {name: float(value) if value else None for name, value in row.items()} for row in reader
        ]
    except (TypeError, ValueError) as error:
        raise UserError(f"The table of epochs is damaged: {error}.") from error
