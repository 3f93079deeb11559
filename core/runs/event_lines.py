"""Read the lines of events.jsonl, and make them agree with the history in a checkpoint.

A file can be cut short by a kill, and edited or damaged by anything. A line that does not hold what
its kind of event needs is skipped, so that no reader has to check it again.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, TypeAdapter
from pydantic_core import from_json

from core.events import Candidate, EpochEnd, LayersMeasured, ThinnedCandidate

Events = list[dict[str, Any]]

_LARGEST_EPOCH = 10**9


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True)


class _Pruned(_Strict):
    layers: dict[str, tuple[NonNegativeInt, PositiveInt]]


class _QuantizedLayer(_Strict):
    weights: PositiveInt
    levels: NonNegativeInt
    bits: NonNegativeInt
    bytes: NonNegativeInt
    snr: float | None
    pinned_zeros: NonNegativeInt = 0


class _Quantized(_Strict):
    layers: dict[str, _QuantizedLayer]


_READ_KINDS: dict[str, TypeAdapter[Any]] = {
    "epochend": TypeAdapter(EpochEnd),
    "candidate": TypeAdapter(Candidate),
    "layersmeasured": TypeAdapter(LayersMeasured),
    "thinnedcandidate": TypeAdapter(ThinnedCandidate),
    "pruned": TypeAdapter(_Pruned),
    "quantized": TypeAdapter(_Quantized),
}
"""The events whose fields are read again, and what each of them must hold."""


def read_events(file: Path) -> Events:
    """Read all events in order. What cannot be read is left out, up to the whole file."""
    try:
        content = file.read_bytes()
    except OSError:
        return []
    events = [_parse_line(line) for line in content.split(b"\n")]
    return [event for event in events if event is not None]


def epoch_ends(events: Events) -> Events:
    """Choose the EpochEnd events, in order of their epoch.

    Of an epoch that was trained again after a kill only the last event is returned.
    """
    by_epoch = {event["epoch"]: event for event in events if event["event"] == "epochend"}
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]


def follow_history(events: Events, history: Sequence[Mapping[str, Any]] | None) -> Events:
    """Return the events of a run that continues from a checkpoint with this history.

    history: the rows of `core.training.history.History`; None if the run begins anew. Epochs that
    are missing are added, and those that will be trained again are left out. So is everything that
    will happen again.
    """
    ends = [_epoch_end(row) for row in history or ()]
    repeated = {"epochend", "finished"}
    if history is None:
        repeated |= _READ_KINDS.keys()
    rest = [event for event in events if event["event"] not in repeated]
    return sorted(rest + ends, key=_time_of)


def to_lines(events: Events) -> bytes:
    """Return the content of a file with these events."""
    return "".join(json.dumps(event) + "\n" for event in events).encode()


def _epoch_end(row: Mapping[str, Any]) -> dict[str, Any]:
    fields = {field.name for field in dataclasses.fields(EpochEnd)}
    return EpochEnd(**{name: row[name] for name in row.keys() & fields}).to_dict()


def _time_of(event: Mapping[str, Any]) -> float:
    time = event.get("time")
    return float(time) if isinstance(time, int | float) else 0.0


def _parse_line(line: bytes) -> dict[str, Any] | None:
    try:
        event = from_json(line)
        if not isinstance(event, dict) or not isinstance(event.get("event"), str):
            return None
        if event["event"] in _READ_KINDS:
            _READ_KINDS[event["event"]].validate_json(line, strict=True)
        if event["event"] == "epochend" and not 1 <= event["epoch"] <= _LARGEST_EPOCH:
            return None
    except ValueError:
        return None
    return event
