"""The models of the page with their answers, and the test set that they answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import streamlit as st

from core import data
from core.data.imageset import Dataset, Labels
from core.inspect.behaviour.answers import Answers, hash_test_set, load_answers
from core.inspect.behaviour.changes import Changes, compare_with_first
from core.runs.answers import expected_key, find_answers_run
from core.runs.comparison.compared import unique_names
from core.runs.run import ANSWERS, Run
from core.runs.store import RunStore
from pages.parts.shared.cache import FileKey, file_key


@dataclass(frozen=True, eq=False)
class AnsweringModel:
    """A model of the page.

    letter: "A" for the first one. title: the run's name, with its id if another one has the same.
    answers: for all test images.
    """

    letter: str
    title: str
    run: Run
    answers: Answers

    @property
    def name(self) -> str:
        """Its name in charts and tables."""
        return f"{self.letter}: {self.title}"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two to four models that answer the same test set. The first one is compared with all others.

    Raises ValueError if they answer other images or classes.
    """

    models: Sequence[AnsweringModel]
    dataset: Dataset

    @property
    def first(self) -> AnsweringModel:
        return self.models[0]

    @property
    def others(self) -> Sequence[AnsweringModel]:
        return self.models[1:]

    @property
    def names(self) -> list[str]:
        """The models' names in the order of their colours."""
        return [model.name for model in self.models]

    @property
    def labels(self) -> Labels:
        """The true classes of the test images."""
        return self.dataset.test.labels

    @property
    def classes(self) -> tuple[str, ...]:
        return self.dataset.classes

    @cached_property
    def changes(self) -> dict[str, Changes]:
        """What changes from the first model to each other one, by its letter."""
        answers = {model.letter: model.answers for model in self.models}
        return compare_with_first(answers, self.labels)


def load_test_set(name: str, root: Path) -> Dataset | None:
    """Return the data set, None if it is not on this machine yet."""
    if name != "Digits" and not data.is_ready(name, root):
        return None
    return data.load(name, root)


def cached_test_set_hash(dataset: Dataset) -> str:
    """Return the hash of the test set. Its files are read again only after they were changed."""
    images = dataset.test.images
    if not isinstance(images, np.memmap):
        return hash_test_set(dataset)
    folder = Path(str(images.filename)).parent
    names = ("meta.json", "test_images.npy", "test_labels.npy")
    return _hash_of_files(tuple(file_key(folder / name) for name in names), dataset)


@st.cache_data(max_entries=64, show_spinner=False)
def _hash_of_files(files: tuple[FileKey, ...], _dataset: Dataset) -> str:
    return hash_test_set(_dataset)


def load_comparison(store: RunStore, runs: Sequence[Run], dataset: Dataset) -> Comparison | None:
    """Return the runs with their answers, None if answers are missing."""
    models = []
    titles = unique_names(runs)
    test_hash = cached_test_set_hash(dataset)
    for letter, run in zip("ABCD", runs, strict=False):
        answers = answers_of(store, run, test_hash)
        if answers is None:
            return None
        models.append(AnsweringModel(letter, titles[run.id], run, answers))
    return Comparison(models, dataset)


def answers_of(store: RunStore, run: Run, test_hash: str) -> Answers | None:
    """Return the answers of the run's network, None if they are missing or out of date."""
    test = find_answers_run(store, run)
    if test is None or test.state != "finished":
        return None
    try:
        file = file_key(test.path / ANSWERS)
    except OSError:
        return None
    return _load(file, expected_key(run, test_hash))


@st.cache_resource(max_entries=16, show_spinner=False)
def _load(file: FileKey, key: str) -> Answers | None:
    """Keep the answers for all sessions, with the probabilities that they compute once."""
    return load_answers(Path(file[0]), key)
