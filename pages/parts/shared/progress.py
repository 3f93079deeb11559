"""Runs long computations on a page and shows their progress."""

from collections.abc import Callable, Generator
from typing import TypeVar

from streamlit.delta_generator import DeltaGenerator

from core.events import Event, Note, Progress
from core.models import model_info

_Result = TypeVar("_Result")

_QUICK_BATCH = 10e9  # multiply-adds


def drain(
    events: Generator[Event, None, _Result],
    place: DeltaGenerator,
    notes: list[Note] | None = None,
) -> _Result:
    """Run `events` to the end, and return the generator's value.

    Each Progress is drawn at `place`, an `st.empty`, which is empty again at the end. Each Note is
    appended to `notes`.
    """
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            place.empty()
            return end.value
        if isinstance(event, Progress):
            _draw_bar(event, place)
        elif isinstance(event, Note) and notes is not None:
            notes.append(event)


def drain_once(
    memory: dict[str, _Result],
    key: str,
    start: Callable[[], Generator[Event, None, _Result]],
    place: DeltaGenerator,
    most: int,
) -> _Result:
    """Return `memory[key]`. If it is missing, `drain` the generator that `start` makes first.

    All sessions can share the memory, a dict that an `st.cache_resource` function returns. The
    oldest results are removed from it, so that at most `most` remain.
    """
    result = memory.get(key)  # in one step, because another session can remove it
    if result is not None:
        return result
    place.progress(0.0, text="Starting …")
    result = drain(start(), place)
    memory[key] = result
    while len(memory) > most:
        oldest = next(iter(memory))
        memory.pop(oldest, None)
    return result


def is_quick(model: str, batch_size: int) -> bool:
    """Whether the network scores a batch so quickly that a page does it without a button."""
    return model_info(model).macs * batch_size < _QUICK_BATCH


def _draw_bar(event: Progress, place: DeltaGenerator) -> None:
    share = min(1.0, event.done / event.total) if event.total else 0.0
    place.progress(share, text=_bar_text(event))


def _bar_text(event: Progress) -> str:
    if event.unit == "bytes" and event.total:
        return f"{event.stage}: {event.done / 1e6:,.0f} of {event.total / 1e6:,.0f} MB"
    return str(event)
