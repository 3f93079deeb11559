"""Reads ONNX Runtime's profile: which operators of a session take how much of its time.

The profile is a list of events in Chrome's trace format. A node has an event for each run, with its
duration in microseconds.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import BaseModel, ConfigDict

from core.errors import UserError

_KERNEL = "_kernel_time"  # what the name of a node's event ends with


class OperatorTime(BaseModel):
    """The time that operators take in one run.

    name: of the node in the graph as it runs, or of the type if several nodes are added up.
    op_type: such as "Conv". milliseconds: in the median run. share: of the time of all operators,
    in [0, 1].
    """

    model_config = ConfigDict(frozen=True)

    name: str
    op_type: str
    milliseconds: float
    share: float


def read_profile(path: Path) -> list[OperatorTime]:
    """Return the time of each node in the median run, the slowest node first.

    path: the file of `OnnxEngine.end_profile`. Raises UserError for a file that is no profile, and
    for one in which nothing ran.
    """
    durations: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in _node_events(path):
        node = (event["name"].removesuffix(_KERNEL), event["args"]["op_name"])
        durations[node].append(event["dur"] / 1000)
    if not durations:
        raise UserError(f"{path} has no times of operators: profile a session that runs.")
    return _with_shares({node: median(times) for node, times in durations.items()})


def add_up_types(operators: Iterable[OperatorTime]) -> list[OperatorTime]:
    """Return the time of all operators of each type, the slowest type first."""
    totals: dict[tuple[str, str], float] = defaultdict(float)
    for operator in operators:
        totals[operator.op_type, operator.op_type] += operator.milliseconds
    return _with_shares(totals)


def describe_operators(operators: Sequence[OperatorTime], most: int = 3) -> str:
    """Name the operators that take the most time, such as "Conv conv1 (62%) and Gemm fc (8%)"."""
    words = [
        f"{operator.op_type} {operator.name} ({operator.share:.0%})"
        for operator in operators[:most]
    ]
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def _with_shares(times: dict[tuple[str, str], float]) -> list[OperatorTime]:
    total = sum(times.values()) or 1.0
    operators = [
        OperatorTime(name=name, op_type=op_type, milliseconds=time, share=time / total)
        for (name, op_type), time in times.items()
    ]
    return sorted(operators, key=lambda operator: -operator.milliseconds)


def _node_events(path: Path) -> list[dict[str, Any]]:
    """Return the events of the profile that say how long a node computed."""
    try:
        events = json.loads(path.read_bytes())
        return [event for event in events if _is_node_event(event)]
    except OSError as error:
        raise UserError(f"The profile {path} cannot be read ({error.strerror}).") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{path} is no profile of ONNX Runtime, or is damaged: profile the session again."
        ) from error


def _is_node_event(event: dict[str, Any]) -> bool:
    """Whether it is a node's; raises an error if such an event lacks what every one of them has."""
    if event.get("cat") != "Node" or not event["name"].endswith(_KERNEL):
        return False
    return event["dur"] >= 0 and isinstance(event["args"]["op_name"], str)
