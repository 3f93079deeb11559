"""The mechanisms that pages share: progress, cache keys, number fields, words."""

import os

import pytest
from streamlit.testing.v1 import AppTest

from core.events import Note, Progress
from pages.parts.shared.cache import file_key
from pages.parts.shared.progress import drain, drain_once
from pages.parts.shared.words import duration, kept, percent, plain, short, size, span


class RecordingPlace:
    """Records what is drawn at a place of a page."""

    def __init__(self):
        self.drawn = []

    def progress(self, share, text):
        self.drawn.append((share, text))

    def empty(self):
        self.drawn.append("empty")


@pytest.fixture
def place():
    return RecordingPlace()


def events():
    yield Progress("Reading", 0, 0)
    yield Note("A note.")
    yield Progress("Downloading", 5_000_000, 10_000_000, "bytes")
    yield Progress("Scoring", 12, 10)
    return "result"


def test_drain_draws_the_progress_and_returns_the_value(place):
    notes: list[Note] = []
    assert drain(events(), place, notes) == "result"
    assert [note.text for note in notes] == ["A note."]
    assert place.drawn == [
        (0.0, "Reading ..."),
        (0.5, "Downloading: 5 of 10 MB"),
        (1.0, "Scoring: 12 of 10 batches"),
        "empty",
    ]


def test_drain_needs_no_list_for_notes(place):
    assert drain(events(), place) == "result"


def test_drain_once_computes_once_and_forgets_the_oldest(place):
    memory: dict[str, str] = {}
    assert drain_once(memory, "a", events, place, most=2) == "result"
    place.drawn.clear()
    assert drain_once(memory, "a", events, place, most=2) == "result"
    assert place.drawn == []
    for key in ("b", "c"):
        drain_once(memory, key, events, place, most=2)
    assert list(memory) == ["b", "c"]


def test_a_file_that_was_written_again_has_another_key(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"1")
    first = file_key(path)
    assert first == file_key(path)
    os.utime(path, ns=(0, first[2] + 1))
    assert file_key(path) != first
    path.write_bytes(b"22")
    assert file_key(path)[:2] == (str(path), 2)
    with pytest.raises(OSError, match="gone"):
        file_key(tmp_path / "gone")


def number_fields():
    import streamlit as st

    from core.config import KMeansRecipe, TrainRecipe
    from pages.parts.shared.address import open_page
    from pages.parts.shared.fields import number_field

    open_page("numbers")
    number_field(st.container(), TrainRecipe, "seed")
    number_field(st.container(), TrainRecipe, "lr", 0.01, label="Learning rate")
    number_field(st.container(), TrainRecipe, "train_images", 1000)
    number_field(st.container(), KMeansRecipe, "epochs", key="tuning", value=3)


def test_a_number_field_has_the_default_and_the_bounds_of_its_recipe():
    app = AppTest.from_function(number_fields).run()
    assert not app.exception
    seed = app.number_input(key="seed")
    assert (seed.label, seed.value, seed.min, seed.max) == ("Seed", 0, 0, 2**53 - 1)
    rate = app.number_input(key="lr")
    assert (rate.label, rate.value, rate.min, rate.max) == ("Learning rate", 0.1, 0.0, 100.0)
    assert rate.proto.help
    assert app.number_input(key="train_images").value is None
    assert app.number_input(key="tuning").value == 3


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (plain("**a** [b](c)"), r"\*\*a\*\* \[b\]\(c\)"),
        (percent(0.912), "91.20%"),
        (percent(None), "—"),
        (span(-0.31, 2.4), "−0.31 to 2.4"),
        (kept(0.1), "10% kept"),
        (kept(1.0), "dense"),
        (duration(59.4), "59 s"),
        (duration(125), "2 min 5 s"),
        (duration(7260), "2 h 1 min"),
        (size(58_900_000), "58.9 MB"),
        (size(12), "12 B"),
        (short(15_250_378), "15.3M"),
        (short(999), "999"),
    ],
)
def test_numbers_as_words(words, text):
    assert words == text
