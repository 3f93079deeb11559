"""What was looked at is remembered: one network and one picture, several side by side, their pictures, a batch."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from core import data
from core.data.picture import to_square
from pages.parts.activations_sources import Subject
from pages.parts.image_input import Picture
from pages.parts.states import span

if TYPE_CHECKING:
    import numpy as np

    from core.inspect.beside import Beside, Row
    from core.inspect.channels import ChannelStatistics
    from core.inspect.look import Look

STEP = 16  # images at once
BATCH = 128  # images of the test set over which a channel may be dead


def beside(subjects: list[Subject], picture: Picture) -> "Beside":
    """The subjects' looks at the picture, computed where they are new."""
    return _beside(_key(subjects, picture), subjects, picture)


def _key(subjects: list[Subject], picture: Picture) -> str:
    return " | ".join([picture.key, *(subject.key for subject in subjects)])


@st.cache_resource(max_entries=3, show_spinner="Looking at the picture ...")
def _beside(key: str, _subjects: list[Subject], _picture: Picture) -> "Beside":
    from core.inspect.beside import Beside  # brings torch

    return Beside(tuple(_look(subject.key, _picture.key, subject, _picture) for subject in _subjects))


@st.cache_resource(max_entries=6, show_spinner=False)
def _look(key: str, picture_key: str, _subject: Subject, _picture: Picture) -> "Look":
    from core.inspect.look import look

    return look(_subject.network(), to_square(_picture.image, _subject.facts.side), _subject.facts)


def pictures(subjects: list[Subject], picture: Picture, order: str, width: int, aspect: float
             ) -> list[list[tuple[bytes, str] | None]]:
    """For every row of layers a PNG of each network's channels, then of each difference, with its scale in words."""
    return _pictures(_key(subjects, picture), order, width, aspect, subjects, picture)


@st.cache_data(max_entries=6, show_spinner=False)
def _pictures(key: str, order: str, width: int, aspect: float, _subjects: list[Subject], _picture: Picture
              ) -> list[list[tuple[bytes, str] | None]]:
    seen = beside(_subjects, _picture)

    def drawn(row: "Row") -> list[tuple[bytes, str] | None]:
        shown = *seen.channels(row, order, width, aspect), *seen.differences(row, order, width, aspect)
        return [mosaic and (mosaic.png(), span(mosaic.scale.low, mosaic.scale.high)) for mosaic in shown]

    return list(_pool().map(drawn, seen.rows))


@st.cache_resource(show_spinner=False)
def _pool() -> ThreadPoolExecutor:
    """numpy and the PNG encoder leave Python to others while they work. One pool for all: new threads for every
    picture would leave the memory in pieces."""
    return ThreadPoolExecutor(os.cpu_count())


def batch(subject: Subject, root: Path) -> "dict[str, ChannelStatistics] | None":
    """The statistics of every ReLU over a batch of the test set, with progress where it is new; None without one."""
    memory, key = _batches(), subject.key
    if (found := memory.get(key)) is None:
        name = subject.facts.dataset
        if name != "Digits" and not data.is_ready(name, root):
            return None
        found = memory[key] = _measured(subject, data.load(name, root).test.images[:BATCH])
        while len(memory) > 6:
            memory.pop(next(iter(memory)), None)
    return found


@st.cache_resource(show_spinner=False)
def _batches() -> "dict[str, dict[str, ChannelStatistics]]":
    """Of late, for all sessions; st.cache_resource itself has no way to show progress."""
    return {}


def _measured(subject: Subject, images: "np.ndarray") -> "dict[str, ChannelStatistics]":
    from core.inspect.look import totals

    place, measured = st.empty(), {}
    for done, total in enumerate(totals(subject.network(), images, subject.facts, STEP), 1):
        measured = total
        place.progress(min(1.0, STEP * done / len(images)), text=f"Looking at {len(images)} test images ...")
    place.empty()
    return measured
